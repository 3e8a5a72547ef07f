"""Does the pod tolerate the node's taints? Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from netemu.scheduler.model import Node, Pod

Taint = Mapping[str, Any]
_HARD = ("NoSchedule", "NoExecute")


def matches(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    if not toleration.get("key"):
        return False
    return (toleration.get("value") or "") == (taint.get("value") or "")


def tolerates(tolerations: Iterable[Mapping[str, Any]], taint: Taint) -> bool:
    return any(matches(toleration, taint) for toleration in tolerations)


def untolerated(pod: Pod, node: Node) -> Taint | None:
    """The first taint that keeps the pod away."""
    for taint in node.taints:
        if taint.get("effect") in _HARD and not tolerates(pod.tolerations, taint):
            return taint
    return None


def tolerated(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    def check(node: Node) -> str:
        taint = untolerated(pod, node) if node.taints else None
        if taint is None:
            return ""
        return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"

    return check
