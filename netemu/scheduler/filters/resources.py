"""Is there room for the pod: a place, cpu, memory, and whatever else it asks for? Pure.

https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netemu.scheduler.model import Node, Pod

TOO_MANY = "Too many pods"


def fits(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    wanted = tuple(pod.requests.items())

    def check(node: Node) -> str:
        if len(node.pods) + 1 > node.max_pods:
            return TOO_MANY
        for resource, amount in wanted:
            if node.requested.get(resource, 0) + amount > node.allocatable.get(resource, 0):
                return f"Insufficient {resource}"
        return ""

    return check
