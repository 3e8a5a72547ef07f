"""flannel's vxlan backend: leases -> one VXLAN device, and three entries a peer.

For a remote subnet S behind node N with VTEP address M:

    route      S via S.0 dev flannel.1 onlink     where to send: the remote end's own address
    neighbour  S.0 is at M, permanent             so nobody asks with ARP
    FDB        M is behind N's address            so nothing is flooded, nothing learned

A pod's packet goes veth, cni0, that route, UDP 8472 to N; the pod's address stays inside. Older
flannels answered the kernel's L2 and L3 misses from user space; static entries made that and its
first-packet delay go away.
https://github.com/flannel-io/flannel/blob/master/pkg/backend/vxlan/vxlan.go
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from netemu.netstate.fdb import FdbEntry
from netemu.netstate.link import Address, VxlanLink
from netemu.netstate.neighbour import Neighbour
from netemu.netstate.network import Network
from netemu.netstate.route import Route
from netemu.overlay.lease import Lease
from netemu.overlay.settings import VXLAN, OverlaySettings


def plan_network(own: Lease, leases: Iterable[Lease], settings: OverlaySettings) -> Network:
    """What `own`'s node must hold to reach all `leases` of the family."""
    name = settings.vxlan_name(own.family)
    device = VxlanLink(
        name=name,
        vni=settings.vni,
        port=settings.port,
        local=own.public_ip,
        device=settings.device,
        mtu=settings.tunnel_mtu(own.family),
        mac=own.vtep_mac,
    )
    length = 32 if own.family == 4 else 128
    neighbours, fdb, routes = set(), set(), set()
    for peer in peers(own, leases, VXLAN):
        if settings.direct_routing:
            routes.add(
                Route(destination=peer.subnet, device=settings.device, gateway=peer.public_ip)
            )
            continue
        if not peer.vtep_mac:
            continue
        neighbour, entry, route = _entries(name, peer)
        neighbours.add(neighbour)
        fdb.add(entry)
        routes.add(route)
    return Network(
        links=frozenset({device}),
        addresses=frozenset({Address(device=name, cidr=f"{vtep_address(own)}/{length}")}),
        neighbours=frozenset(neighbours),
        fdb=frozenset(fdb),
        routes=frozenset(routes),
    )


@lru_cache(maxsize=4096)
def _entries(name: str, peer: Lease) -> tuple[Neighbour, FdbEntry, Route]:
    """A peer's three; the same on every other node, so they are made once."""
    end = vtep_address(peer)
    return (
        Neighbour(device=name, address=end, mac=peer.vtep_mac),
        FdbEntry(device=name, mac=peer.vtep_mac, destination=peer.public_ip),
        Route(destination=peer.subnet, device=name, gateway=end, onlink=True),
    )


def vtep_address(lease: Lease) -> str:
    """The network address of the subnet is its VXLAN device's address."""
    return lease.subnet.partition("/")[0]


def peers(own: Lease, leases: Iterable[Lease], backend: str) -> list[Lease]:
    """Other nodes of the same backend and family; flannel ignores the rest."""
    return [
        lease
        for lease in leases
        if lease.node != own.node and lease.family == own.family and lease.backend == backend
    ]
