"""flannel's host-gw backend: remote subnets by plain routes over the underlay, nothing else.

It needs all nodes on one wire, costs no encapsulation, and pods get the underlay's MTU.
https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md#host-gw
"""

from __future__ import annotations

from collections.abc import Iterable

from netemu.netstate.network import Network
from netemu.netstate.route import Route
from netemu.overlay.lease import Lease
from netemu.overlay.settings import HOST_GW, OverlaySettings
from netemu.overlay.vxlan import peers


def plan_network(own: Lease, leases: Iterable[Lease], settings: OverlaySettings) -> Network:
    """What `own`'s node must hold to reach all `leases` of the family."""
    return Network(
        routes=frozenset(
            Route(destination=peer.subnet, device=settings.device, gateway=peer.public_ip)
            for peer in peers(own, leases, HOST_GW)
        )
    )
