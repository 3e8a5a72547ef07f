"""Bring one node's overlay to what was planned: read the kernel, diff, write what differs.

Blocking; for helper threads.
rtnetlink(7)
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from ipaddress import ip_network

from netemu.netstate.fdb import FdbEntry
from netemu.netstate.link import Address
from netemu.netstate.neighbour import Neighbour
from netemu.netstate.network import Changes, Item, Network, diff
from netemu.netstate.route import Route
from netemu.node import inet_messages as inet
from netemu.node import link_messages as links
from netemu.node.netlink import NetlinkSocket
from netemu.node.network_observe import (
    ObservedLink,
    observe_addresses,
    observe_fdb,
    observe_links,
    observe_neighbours,
    observe_routes,
    vxlan_of,
)

_GONE = {errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL}


def apply_network(
    netlink: NetlinkSocket,
    desired: Network,
    tunnels: Collection[str],
    pod_networks: Collection[str],
) -> Changes:
    """Make it so; what had to be changed.

    Ours are the links named in `tunnels` with all that stands on them, and routes with a gateway
    to parts of `pod_networks`. One refused entry does not keep the others away.
    """
    observed = observe_network(netlink, tunnels, pod_networks)
    changes = diff(desired, observed)
    if changes:
        _apply(netlink, changes)
    return changes


def observe_network(
    netlink: NetlinkSocket, tunnels: Collection[str], pod_networks: Collection[str]
) -> Network:
    """What is ours in this namespace now."""
    found = observe_links(netlink)
    ours = {found[name].index: name for name in tunnels if name in found}
    everywhere = {link.index: link.name for link in found.values()}
    return Network(
        links=frozenset(vxlan_of(found[name], found) for name in ours.values()),
        addresses=frozenset(observe_addresses(netlink, ours)),
        neighbours=frozenset(observe_neighbours(netlink, ours)),
        fdb=frozenset(observe_fdb(netlink, ours)),
        routes=frozenset(
            route
            for route in observe_routes(netlink, everywhere)
            if route.device in tunnels or (route.gateway and _is_part(route, pod_networks))
        ),
    )


def _is_part(route: Route, networks: Collection[str]) -> bool:
    destination = ip_network(route.destination)
    return any(
        destination.version == whole.version and destination.subnet_of(whole)  # type: ignore[arg-type]
        for whole in map(ip_network, networks)
    )


def _apply(netlink: NetlinkSocket, changes: Changes) -> None:
    before = observe_links(netlink)
    netlink.request([links.delete_link(before[link.name].index) for link in changes.remove_links])
    for link in changes.add_links:
        message = links.new_vxlan(
            name=link.name,
            vni=link.vni,
            port=link.port,
            local=link.local,
            device=before[link.device].index,
            mtu=link.mtu,
            address=link.mac,
        )
        netlink.request([message])
    after = observe_links(netlink)
    removals = [_removal(item, after) for item in changes.remove if item.device in after]
    netlink.request(removals, ignore=_GONE)
    refused = netlink.try_all([_addition(item, after) for item in changes.add])
    if refused:
        raise netlink.error(refused[0])


def _addition(item: Item, known: dict[str, ObservedLink]) -> bytes:
    index = known[item.device].index
    match item:
        case Address():
            return inet.add_address(index, item.cidr)
        case Neighbour():
            return inet.add_neighbour(index, item.address, item.mac)
        case FdbEntry():
            return inet.add_tunnel_entry(index, item.mac, item.destination)
        case Route():
            return inet.add_route(item.destination, index, gateway=item.gateway, onlink=item.onlink)


def _removal(item: Item, known: dict[str, ObservedLink]) -> bytes:
    index = known[item.device].index
    match item:
        case Address():
            return inet.delete_address(index, item.cidr)
        case Neighbour():
            return inet.delete_neighbour(index, item.address)
        case FdbEntry():
            return inet.delete_tunnel_entry(index, item.mac, item.destination)
        case Route():
            return inet.delete_route(item.destination, index, gateway=item.gateway)
