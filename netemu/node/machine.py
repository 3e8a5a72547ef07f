"""One emulated machine on the underlay, a node or an outside host: its namespace and its eth0.

Building is idempotent, so adopting a machine after a crash and making it are the same thing.
network_namespaces(7), veth(4)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netemu.errors import DataplaneError
from netemu.node import netns
from netemu.node.hardware import link_name, mac_of
from netemu.node.inet_messages import add_address, add_neighbour, add_route
from netemu.node.ledger import Ledger
from netemu.node.link_messages import LOOPBACK_INDEX, delete_link, new_veth, set_link
from netemu.node.netlink import NetlinkSocket
from netemu.node.network_observe import observe_links
from netemu.node.node_subnet import contains

NODE, HOST = "node", "host"

_SETTINGS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv6/conf/default/addr_gen_mode": "1",
}
_ROUTER_SETTINGS = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`addresses`: one a family, IPv4 first. `netns`: path of its namespace."""

    name: str
    role: str
    netns: str
    addresses: tuple[str, ...]
    port: int
    """Index of its port on the fabric's switch."""

    @property
    def address(self) -> str:
        return self.addresses[0]

    @property
    def mac(self) -> str:
        return mac_of(self.address)

    @property
    def port_name(self) -> str:
        return link_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlay:
    """What each machine must know of the network it is plugged into."""

    networks: tuple[str, ...]
    """Address ranges on the wire, one a family."""
    routers: tuple[str, ...]
    router_mac: str
    machine_addresses: tuple[str, ...]
    """This machine's own end of the underlay, one a family."""
    machine_mac: str
    mtu: int
    switch: int
    """Index of the bridge in the fabric's namespace."""


def ensure_namespace(name: str, ledger: Ledger, owned: set[str]) -> NetlinkSocket:
    """The namespace `name`, made when it is not there. `owned`: paths that the ledger lists."""
    path = netns.path_of(name)
    if path in owned:
        if netns.is_namespace(path):
            return netns.netlink_in(path)
        netns.delete(path)
    elif os.path.lexists(path):
        raise DataplaneError(
            name,
            "create namespace",
            errno=errno.EEXIST,
            hint=f"{path} is not netemu's; choose another cluster name, or remove it",
        )
    ledger.record("netns", path=path)
    owned.add(path)
    return netns.create(name)


def write_settings(settings: dict[str, str]) -> Callable[[], None]:
    """A function for `netns.call_in` that writes sysctls; a missing one (no IPv6) is skipped."""

    def write() -> None:
        for key, value in settings.items():
            path = Path("/proc/sys", key)
            if path.exists() and path.read_text().strip() != value:
                path.write_text(value)

    return write


def build(machine: Machine, underlay: Underlay, fabric: NetlinkSocket, own: NetlinkSocket) -> int:
    """Plug the machine into the fabric and configure it; the index of its eth0. Blocks."""
    router = machine.role == NODE
    settings = _SETTINGS | (_ROUTER_SETTINGS if router else {"net/ipv4/ip_forward": "0"})
    netns.call_in(machine.netns, write_settings(settings))
    links = observe_links(own)
    if "eth0" in links:
        eth0 = links["eth0"].index
    else:
        eth0 = 1 + max(link.index for link in links.values())
        _plug(machine, underlay, fabric, eth0)
    own.request(
        [
            set_link(LOOPBACK_INDEX, up=True),
            set_link(eth0, link_local=False),
            set_link(eth0, up=True, mtu=underlay.mtu),
            *_addresses(machine, underlay, eth0),
        ]
    )
    return eth0


def _plug(machine: Machine, underlay: Underlay, fabric: NetlinkSocket, eth0: int) -> None:
    """A new cable; one of a former life, whose other end is just going, is taken away first."""
    descriptor = os.open(machine.netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        cable = new_veth(
            name=machine.port_name,
            index=machine.port,
            mtu=underlay.mtu,
            master=underlay.switch,
            peer="eth0",
            peer_namespace=descriptor,
            peer_index=eth0,
            peer_mac=machine.mac,
        )
        fabric.request([delete_link(machine.port)], ignore={errno.ENODEV})
        fabric.request([cable])
    finally:
        os.close(descriptor)


def _addresses(machine: Machine, underlay: Underlay, eth0: int) -> list[bytes]:
    """Its address and default route a family; an address of elsewhere reaches the wire by route."""
    messages = []
    for address, network, router in zip(
        machine.addresses, underlay.networks, underlay.routers, strict=True
    ):
        length = network.rpartition("/")[2]
        if contains(network, address):
            messages.append(add_address(eth0, f"{address}/{length}"))
        else:
            full = "128" if ":" in address else "32"
            messages.append(add_address(eth0, f"{address}/{full}"))
            messages.append(add_route(network, eth0))
        default = "::/0" if ":" in address else "0.0.0.0/0"
        messages.append(add_route(default, eth0, gateway=router))
        messages.append(add_neighbour(eth0, router, underlay.router_mac))
    known = underlay.machine_addresses
    messages += [add_neighbour(eth0, address, underlay.machine_mac) for address in known]
    return messages


def neighbours(machine: Machine, eth0: int) -> list[bytes]:
    """What another machine, whose eth0 has that index, must know to reach this one without ARP."""
    return [add_neighbour(eth0, address, machine.mac) for address in machine.addresses]
