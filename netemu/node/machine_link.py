"""The one link of a cluster in the machine's own namespace, and which networks are taken there.

The link is known by its name and by the MAC that follows from the cluster: a link that only has the
name belongs to someone else and is left alone.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from ipaddress import ip_interface
from pathlib import Path

from netemu.errors import DataplaneError
from netemu.node.hardware import link_name, random_like_mac
from netemu.node.inet_messages import add_address
from netemu.node.ledger import Ledger
from netemu.node.link_messages import delete_link, new_veth, set_link
from netemu.node.netlink import NetlinkSocket
from netemu.node.network_observe import observe_addresses, observe_links, observe_routes

PORT, PORT_NAME = 1 << 20, "machine"
"""Its other end, on the switch. The index is far from any that the near end may get: the kernel
takes its time (a second) to notice the carrier of a pair with equal ones."""
_WHERE = "this machine"


def name_of(cluster: str) -> str:
    return link_name(f"ne-{cluster}")


def mac_of(cluster: str, address: str) -> str:
    """Its MAC; `address` is the machine's IPv4 one, without length."""
    return random_like_mac("machine", cluster, address)


def ensure(
    cluster: str,
    addresses: Sequence[str],
    *,
    fabric: NetlinkSocket,
    switch: int,
    mtu: int,
    ledger: Ledger,
) -> None:
    """Make the link, or what is missing of it. `addresses` with lengths, one a family."""
    name, mac = name_of(cluster), mac_of(cluster, addresses[0].partition("/")[0])
    if name not in (known for _, known in socket.if_nameindex()):
        ledger.record("link", name=name, mac=mac)
        _plug(name, mac, fabric=fabric, switch=switch, mtu=mtu)
    elif Path(f"/sys/class/net/{name}/address").read_text().strip() != mac:
        raise DataplaneError(
            _WHERE,
            f"create link {name}",
            errno=errno.EEXIST,
            hint="it is not netemu's; choose another cluster name",
        )
    index = socket.if_nametoindex(name)
    own = NetlinkSocket(_WHERE)
    try:
        own.request(
            [
                set_link(index, link_local=False),
                set_link(index, up=True),
                *(add_address(index, address) for address in addresses),
            ]
        )
    finally:
        own.close()


def _plug(name: str, mac: str, *, fabric: NetlinkSocket, switch: int, mtu: int) -> None:
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        cable = new_veth(
            name=PORT_NAME,
            index=PORT,
            mtu=mtu,
            master=switch,
            peer=name,
            peer_namespace=home,
            peer_index=0,
            peer_mac=mac,
        )
        fabric.request([delete_link(PORT)], ignore={errno.ENODEV})
        fabric.request([cable])
    finally:
        os.close(home)


def observe_networks() -> list[str]:
    """Networks that this machine has addresses in or routes to."""
    own = NetlinkSocket(_WHERE)
    try:
        names = {link.index: link.name for link in observe_links(own).values()}
        found = [route.destination for route in observe_routes(own, names)]
        found += [address.cidr for address in observe_addresses(own, names)]
    finally:
        own.close()
    return [str(ip_interface(cidr).network) for cidr in found]
