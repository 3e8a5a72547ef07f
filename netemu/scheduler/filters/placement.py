"""Does the node take pods at all, and is it one that the pod asks for? Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netemu.api.nodeaffinity import allows
from netemu.api.tolerations import tolerates
from netemu.scheduler.model import Node, Pod

_CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def unschedulable(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    """`kubectl cordon`; pods that tolerate the taint go there nevertheless."""
    if tolerates(pod.tolerations, _CORDONED):
        return None
    return lambda node: "node(s) were unschedulable" if node.unschedulable else ""


def node_name(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    """spec.nodeName, where a pod has it before it was scheduled."""
    if not pod.node_name:
        return None
    why = "node(s) didn't match the requested node name"
    return lambda node: "" if node.name == pod.node_name else why


def matches_node(pod: Pod, node: Node) -> bool:
    """nodeSelector and required node affinity."""
    return allows(pod.node_selector, pod.required_nodes, node.name, node.labels)


def node_affinity(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    if not pod.node_selector and pod.required_nodes is None:
        return None
    why = "node(s) didn't match Pod's node affinity/selector"
    return lambda node: "" if matches_node(pod, node) else why
