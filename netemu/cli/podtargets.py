"""From what people write to pods and containers: `web-0`, `pod/web-0`, `deploy/web`, `-l app=web`.

A workload stands for its pods; where one is needed, the first that is ready is taken, as kubectl
does, and that is said.
"""

from __future__ import annotations

import sys

from netemu.api.resource import Object
from netemu.cli import targets
from netemu.cli.failures import CommandFailed
from netemu.cli.session import Session
from netemu.cli.targets import Target

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def pods_of(session: Session, word: str, labels: str = "") -> list[Object]:
    """The pods that `word` (or the selector) means; none is an error."""
    if labels:
        return _selected(session, session.namespace, labels)
    target = targets.one(session.discovery, [word], session.namespace, default="pods")
    obj = session.api.get(target.path)
    if target.resource.kind == "Pod":
        return [obj]
    return _selected(session, target.namespace, _selector(target, obj))


def one_pod(session: Session, word: str) -> Object:
    """As `pods_of`, and one of them."""
    found = pods_of(session, word)
    chosen = min(found, key=_preference)
    if len(found) > 1:
        print(f"Found {len(found)} pods, using pod/{chosen['metadata']['name']}", file=sys.stderr)
    return chosen


def container_of(pod: Object, named: str) -> str:
    """`named` when the pod has it; else its default container, and that choice is said."""
    spec, metadata = pod["spec"], pod["metadata"]
    regular = [each["name"] for each in spec["containers"]]
    kinds = ("initContainers", "ephemeralContainers")
    others = [each["name"] for kind in kinds for each in spec.get(kind) or ()]
    if named:
        if named not in regular + others:
            raise CommandFailed(
                f"container {named} is not valid for pod {metadata['name']}; it has"
                f" {', '.join(regular + others)}"
            )
        return named
    chosen = (metadata.get("annotations") or {}).get(DEFAULT_CONTAINER, regular[0])
    if len(regular) > 1:
        print(f'Defaulted container "{chosen}" out of: {", ".join(regular)}', file=sys.stderr)
    return str(chosen)


def _selected(session: Session, namespace: str, labels: str) -> list[Object]:
    pods = Target(resource=session.discovery.find("pods"), namespace=namespace)
    found = list(targets.objects(session.api, pods, labels=labels))
    if not found:
        raise CommandFailed(f"no pods match {labels} in namespace {namespace}")
    return found


def _selector(target: Target, obj: Object) -> str:
    """The label selector of a workload or a Service, in the form of a query."""
    from netemu.cli.describe.page import selector_text

    selector = (obj.get("spec") or {}).get("selector") or {}
    if target.resource.kind in ("Service", "ReplicationController"):
        selector = {"matchLabels": selector} if selector else {}
    if not selector:
        raise CommandFailed(f"{target} does not select pods")
    return selector_text(selector)


def _preference(pod: Object) -> tuple[bool, bool, str]:
    status = pod.get("status") or {}
    ready = any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in status.get("conditions") or ()
    )
    return not ready, status.get("phase") != "Running", pod["metadata"]["name"]
