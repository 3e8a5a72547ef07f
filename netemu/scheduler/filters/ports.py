"""Are the host ports that the pod wants free on the node? Pure.

https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netemu.scheduler.model import HostPort, Node, Pod

_ANY = ("0.0.0.0", "::")


def clash(left: HostPort, right: HostPort) -> bool:
    """The same protocol and port, on the same address or where one means all of them."""
    if left[1:] != right[1:]:
        return False
    return left[0] == right[0] or left[0] in _ANY or right[0] in _ANY


def host_ports(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    if not pod.host_ports:
        return None

    def check(node: Node) -> str:
        taken = [port for other in node.pods.values() for port in other.host_ports]
        if any(clash(mine, theirs) for mine in pod.host_ports for theirs in taken):
            return "node(s) didn't have free ports for the requested pod ports"
        return ""

    return check
