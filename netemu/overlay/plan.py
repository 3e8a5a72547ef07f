"""All Nodes -> what one node must hold: the backend's plan for each family, joined.

https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netemu.netstate.network import Network
from netemu.overlay import hostgw, vxlan
from netemu.overlay.lease import Family, Lease, family_of, from_object, pod_cidrs
from netemu.overlay.settings import HOST_GW, VXLAN, OverlaySettings

_PLANS = {VXLAN: vxlan.plan_network, HOST_GW: hostgw.plan_network}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """`leases`: the node's own, one a family, IPv4 first."""

    leases: tuple[Lease, ...]
    network: Network


def own_leases(
    node: Mapping[str, Any],
    addresses: Iterable[str],
    settings: OverlaySettings,
    vtep_macs: Mapping[Family, str],
) -> tuple[Lease, ...]:
    """What a node with these underlay addresses publishes; empty until it has a podCIDR."""
    public = {family_of(address): address for address in addresses}
    tunnel = settings.backend == VXLAN
    return tuple(
        Lease(
            node=node["metadata"]["name"],
            family=family_of(subnet),
            subnet=subnet,
            public_ip=public[family_of(subnet)],
            backend=settings.backend,
            vtep_mac=vtep_macs[family_of(subnet)] if tunnel else "",
            vni=settings.vni if tunnel else 0,
        )
        for subnet in pod_cidrs(node)
        if family_of(subnet) in public
    )


def plan_node(
    own: tuple[Lease, ...], nodes: Iterable[Mapping[str, Any]], settings: OverlaySettings
) -> NodePlan:
    """What the node that has the leases `own` must hold, given all Nodes."""
    objects = list(nodes)
    networks = []
    for lease in own:
        found = (from_object(node, lease.family) for node in objects)
        known = [peer for peer in found if peer]
        networks.append(_PLANS[settings.backend](lease, known, settings))
    return NodePlan(leases=own, network=_join(networks))


def _join(networks: list[Network]) -> Network:
    return Network(
        links=frozenset().union(*(network.links for network in networks)),
        addresses=frozenset().union(*(network.addresses for network in networks)),
        neighbours=frozenset().union(*(network.neighbours for network in networks)),
        fdb=frozenset().union(*(network.fdb for network in networks)),
        routes=frozenset().union(*(network.routes for network in networks)),
    )
