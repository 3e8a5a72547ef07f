"""What a silent node is said to be, and how long a pod may stay on a tainted one. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/nodelifecycle/node_lifecycle_controller.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import seconds_of
from netemu.api.tolerations import Taint, Toleration, covers
from netemu.controllers.podstate import condition

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_BY_CONDITION = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_BY_CONDITION.values()})
_SILENT = "NodeStatusUnknown"
_NEVER_HEARD = "NodeStatusNeverUpdated"


def ready_status(node: Object) -> str:
    """True, False or Unknown; empty when the node has never said anything."""
    found = condition(node, "Ready")
    return str(found["status"]) if found else ""


def silent_conditions(node: Object, stamp: str) -> list[dict[str, Any]]:
    """The node's conditions once nobody hears of it any more."""
    present = {c["type"]: c for c in (node.get("status") or {}).get("conditions") or ()}
    found = []
    for type_ in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
        old = present.pop(type_, None)
        if old is None:
            reason, text = _NEVER_HEARD, "Kubelet never posted node status."
            old = {"lastHeartbeatTime": node["metadata"].get("creationTimestamp")}
        elif old["status"] == "Unknown":
            found.append(old)
            continue
        else:
            reason, text = _SILENT, "Kubelet stopped posting node status."
        told = {"type": type_, "status": "Unknown", "reason": reason, "message": text}
        heard = {"lastHeartbeatTime": old.get("lastHeartbeatTime"), "lastTransitionTime": stamp}
        found.append({**told, **heard})
    return [*found, *present.values()]


def desired_taints(node: Object, stamp: str) -> list[dict[str, Any]]:
    """The node's taints: those that its conditions ask for, and everybody else's."""
    spec = node.get("spec") or {}
    present = list(spec.get("taints") or ())
    wanted: list[tuple[str, str]] = []
    match ready_status(node):
        case "False":
            wanted += [(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]
        case "Unknown":
            wanted += [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]
        case "":
            # Nobody has spoken for it yet: new pods stay away, none is driven out.
            wanted += [(NOT_READY, "NoSchedule")]
    for type_, key in _BY_CONDITION.items():
        found = condition(node, type_)
        if found is not None and found["status"] == "True":
            wanted.append((key, "NoSchedule"))
    if spec.get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    kept = [t for t in present if t["key"] not in _OURS or (t["key"], t["effect"]) in wanted]
    there = {(taint["key"], taint["effect"]) for taint in kept}
    return kept + [
        {"key": key, "effect": effect, "timeAdded": stamp}
        for key, effect in wanted
        if (key, effect) not in there
    ]


def _seconds_tolerated(
    tolerations: Sequence[Toleration], taint: Taint, default: float
) -> float | None:
    """How long the taint is tolerated: None for ever, 0 not at all."""
    matching = [toleration for toleration in tolerations if covers(toleration, taint)]
    if not matching:
        # Kubernetes adds these two tolerations at admission; here they hold without being written.
        return default if taint["key"] in (NOT_READY, UNREACHABLE) else 0.0
    limits = [t["tolerationSeconds"] for t in matching if t.get("tolerationSeconds") is not None]
    return max(0.0, float(min(limits))) if limits else None


def evict_in(
    pod: Object,
    taints: Iterable[Taint],
    now: float,
    default_toleration: float,
    since: float | None = None,
) -> float | None:
    """Seconds until the pod has to go, 0 or less: now; None: it may stay.

    `since`: when the taints were first seen; those that people add do not say it themselves.
    """
    tolerations = pod["spec"].get("tolerations") or ()
    waits = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        seconds = _seconds_tolerated(tolerations, taint, default_toleration)
        if seconds is not None:
            added = taint.get("timeAdded")
            waits.append(
                (seconds_of(added) if added else now if since is None else since) + seconds - now
            )
    return min(waits, default=None)


def no_execute(node: Object | None) -> list[Mapping[str, Any]]:
    taints = ((node or {}).get("spec") or {}).get("taints") or ()
    return [taint for taint in taints if taint.get("effect") == "NoExecute"]


def not_ready_patch(pod: Object, stamp: str) -> Object | None:
    """A patch that says the pod is not Ready any more; None when that is said already."""
    conditions = list((pod.get("status") or {}).get("conditions") or ())
    changed = False
    for index, found in enumerate(conditions):
        if found["type"] == "Ready" and found["status"] == "True":
            told = {"status": "False", "reason": "NodeNotReady", "message": "Node is not ready"}
            conditions[index] = {**found, **told, "lastTransitionTime": stamp}
            changed = True
    return {"status": {"conditions": conditions}} if changed else None
