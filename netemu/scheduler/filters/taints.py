"""Does the pod tolerate the node's taints? Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netemu.api.tolerations import Taint, first_untolerated
from netemu.scheduler.model import Node, Pod

_HARD = ("NoSchedule", "NoExecute")


def untolerated(pod: Pod, node: Node) -> Taint | None:
    """The first taint that keeps the pod away."""
    return first_untolerated(pod.tolerations, node.taints, _HARD)


def tolerated(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    def check(node: Node) -> str:
        taint = untolerated(pod, node) if node.taints else None
        if taint is None:
            return ""
        return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"

    return check
