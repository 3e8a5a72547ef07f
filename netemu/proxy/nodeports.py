"""Which of a node's addresses take NodePort traffic, and answer load balancers' health checks.

kube-proxy's setting nodePortAddresses holds networks, or the word `primary`. Of an IP family that
it says nothing of, every address serves. Without it nftables and flat mode serve the node's primary
address alone, the other modes every one.
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/util/nodeport_addresses.go
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from netemu.proxy.model import Family, NodeView

PRIMARY = "primary"
_EVERYTHING: dict[Family, str] = {4: "0.0.0.0/0", 6: "::/0"}
_LOOPBACK: dict[Family, str] = {4: "127.0.0.1", 6: "::1"}
_PRIMARY_BY_DEFAULT = ("nftables", "flat")


def of_family(setting: Sequence[str], family: Family) -> tuple[str, ...]:
    """What nodePortAddresses says to the proxy of one family."""
    own = [each for each in setting if each == PRIMARY or (":" in each) == (family == 6)]
    return tuple(own) if own or not setting else (_EVERYTHING[family],)


def addresses(node: NodeView, mode: str) -> tuple[str, ...] | None:
    """The addresses that serve in `mode`, sorted, loopback too; None: every local one."""
    wanted = node.node_port_addresses
    if not wanted and mode in _PRIMARY_BY_DEFAULT:
        wanted = (PRIMARY,)
    if not wanted or _EVERYTHING[node.family] in wanted:
        return None
    if PRIMARY in wanted:
        return (node.address,) if node.address else ()
    networks = [ip_network(each) for each in wanted]
    known = {*node.addresses, node.address, _LOOPBACK[node.family]} - {""}
    return tuple(sorted(a for a in known if any(ip_address(a) in net for net in networks)))


def without_loopback(found: Sequence[str]) -> tuple[str, ...]:
    return tuple(address for address in found if not ip_address(address).is_loopback)


def serves_localhost(node: NodeView) -> bool:
    """Whether 127.0.0.1:nodePort works in iptables mode, the one that can."""
    if node.family == 6 or not node.localhost_node_ports:
        return False
    found = addresses(node, "iptables")
    return found is None or len(without_loopback(found)) < len(found)


def listening(views: Sequence[NodeView], mode: str) -> tuple[str, ...]:
    """Where healthCheckNodePorts are bound on a node of these families.

    `""` is every address of both families: kube-proxy binds so, whatever family it serves.
    """
    found = {view.family: addresses(view, mode) for view in views}
    if all(own is None for own in found.values()):
        return ("",)
    every = {4: "0.0.0.0", 6: "::"}
    return tuple(
        address
        for family, own in found.items()
        for address in ((every[family],) if own is None else own)
    )
