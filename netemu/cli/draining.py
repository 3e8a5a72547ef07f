"""What `drain` does with the pods of one node: which may go, eviction, waiting until they are gone.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.failures import CommandFailed, api_headline
from netemu.cli.following import wait_gone
from netemu.cli.session import Session
from netemu.cli.targets import Target
from netemu.errors import ApiError

MIRROR = "kubernetes.io/config.mirror"
RETRY = 1.0
"""Seconds until an eviction that a budget forbade is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """The flags of `drain`; times in seconds."""

    ignore_daemon_sets: bool
    delete_empty_dir: bool
    force: bool
    grace_period: int
    evict: bool
    timeout: float
    pod_selector: str


def drain_node(session: Session, node: Target, rules: Drain) -> bool:
    """Whether the node was drained; the reason why not is printed."""
    deadline = time.monotonic() + rules.timeout
    pods = Target(resource=session.discovery.find("pods"))
    found = list(
        targets.objects(
            session.api, pods, labels=rules.pod_selector, fields=f"spec.nodeName={node.name}"
        )
    )
    leaving, warnings, obstacles = sort_out(found, rules)
    if obstacles:
        print(
            f'error: unable to drain node "{node.name}" due to error: [{", ".join(obstacles)}],'
            " continuing command...",
            file=sys.stderr,
        )
        return False
    for warning in warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    asked = [targets.of_object(pods.resource, pod, "") for pod in leaving]
    for target in asked:
        _evict(session, target, rules, deadline)
    for target, pod in zip(asked, leaving, strict=True):
        _await_gone(session, target, pod, deadline, rules)
    print(f"{node} drained")
    return True


def sort_out(pods: list[Object], rules: Drain) -> tuple[list[Object], list[str], list[str]]:
    """(pods that leave, warnings, reasons not to start), in kubectl's words."""
    leaving: list[Object] = []
    found: dict[str, list[str]] = {}
    for pod in pods:
        metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
        name = f"{metadata['namespace']}/{metadata['name']}"
        if MIRROR in (metadata.get("annotations") or {}):
            continue
        finished = phase in ("Succeeded", "Failed")
        kinds = _objections(pod, finished)
        for kind in kinds:
            found.setdefault(kind, []).append(name)
        if "daemonset" not in kinds:
            leaving.append(pod)
    return leaving, *_texts(found, rules)


def _objections(pod: Object, finished: bool) -> list[str]:
    owner = next(
        (o for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), None
    )
    kinds = []
    if owner and owner.get("kind") == "DaemonSet" and not finished:
        kinds.append("daemonset")
    if owner is None and not finished:
        kinds.append("unmanaged")
    volumes: list[dict[str, Any]] = (pod.get("spec") or {}).get("volumes") or []
    if any("emptyDir" in volume for volume in volumes) and not finished:
        kinds.append("emptydir")
    return kinds


def _texts(found: dict[str, list[str]], rules: Drain) -> tuple[list[str], list[str]]:
    messages = {
        "daemonset": (
            rules.ignore_daemon_sets,
            "ignoring DaemonSet-managed Pods",
            "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)",
        ),
        "unmanaged": (
            rules.force,
            "deleting Pods that declare no controller",
            "cannot delete Pods that declare no controller (use --force to override)",
        ),
        "emptydir": (
            rules.delete_empty_dir,
            "",
            "cannot delete Pods with local storage (use --delete-emptydir-data to override)",
        ),
    }
    warnings, obstacles = [], []
    for kind, names in found.items():
        allowed, warning, obstacle = messages[kind]
        listed = ", ".join(names)
        if not allowed:
            obstacles.append(f"{obstacle}: {listed}")
        elif warning:
            warnings.append(f"{warning}: {listed}")
    return warnings, obstacles


def _evict(session: Session, pod: Target, rules: Drain, deadline: float) -> None:
    """Ask until the disruption budget allows it, or time is up."""
    print(f"evicting pod {pod.namespace}/{pod.name}", flush=True)
    options: Object = {}
    if rules.grace_period >= 0:
        options["gracePeriodSeconds"] = rules.grace_period
    while True:
        try:
            _ask(session, pod, rules, options)
            return
        except ApiError as error:
            if error.reason == "NotFound":
                return
            if error.reason != "TooManyRequests":
                raise
            if time.monotonic() + RETRY > deadline:
                raise CommandFailed(
                    f"error when evicting pods/{pod.name!r} -n {pod.namespace!r}: global timeout"
                    f" reached; {error.message}"
                ) from error
            print(
                f'error when evicting pods/"{pod.name}" -n "{pod.namespace}" (will retry after'
                f" {RETRY:g}s): {api_headline(error)}",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(RETRY)


def _ask(session: Session, pod: Target, rules: Drain, options: Object) -> None:
    if not rules.evict:
        session.api.delete(pod.path, options or None)
        return
    eviction: Object = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
    }
    if options:
        eviction["deleteOptions"] = options
    session.api.post(f"{pod.path}/eviction", eviction)


def _await_gone(
    session: Session, target: Target, pod: Object, deadline: float, rules: Drain
) -> None:
    try:
        wait_gone(session.api, target, pod["metadata"]["uid"], timeout=deadline - time.monotonic())
    except TimeoutError:
        raise CommandFailed(f"pod {target.namespace}/{target.name} is not gone in time") from None
    print(f"{target} {'evicted' if rules.evict else 'deleted'}", flush=True)
