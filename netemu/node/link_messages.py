"""Requests about links: create, change, delete. Only bytes are made here; nothing is sent.

Attribute numbers are those of linux/if_link.h; what they do: ip-link(8).
"""

from __future__ import annotations

import socket
import struct

from netemu.node.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_SETLINK,
    attribute,
    mac,
    message,
    nested,
    packed,
    text,
    u8,
    u32,
)

IFF_UP = 1
LOOPBACK_INDEX = 1

_IFINFO = struct.Struct("=BxHiII")
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_PROTINFO = 1, 3, 4, 10, 12
_IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD = 18, 26, 27, 28
_IFLA_EXT_MASK, _IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 29, 31, 32
_SKIP_STATISTICS = 8
_NEW = NLM_F_CREATE | NLM_F_EXCL

_ONE_QUEUE = u32(_IFLA_NUM_TX_QUEUES, 1) + u32(_IFLA_NUM_RX_QUEUES, 1)
NO_LINK_LOCAL = nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, u8(8, 1)))
"""IFLA_INET6_ADDR_GEN_MODE none: no link-local address, so no DAD and MLD floods; ::1 works.

Only for links that exist: at creation the kernel answers EAFNOSUPPORT. Machines set it for all
links to come by net.ipv6.conf.default.addr_gen_mode instead."""


def _header(index: int = 0, *, up: bool | None = None, family: int = 0) -> bytes:
    return _IFINFO.pack(family, 0, index, IFF_UP if up else 0, 0 if up is None else IFF_UP)


def new_veth(
    *,
    name: str,
    index: int,
    mtu: int,
    peer: str,
    peer_namespace: int,
    peer_index: int,
    peer_mac: str,
    address: str = "",
    master: int = 0,
    up: bool = True,
) -> bytes:
    """A veth pair whose peer is born in the namespace of the descriptor `peer_namespace`.

    Moving an end afterwards, as CNI plugins do, costs an rcu_barrier: 17 ms. The peer must not be
    asked to be up: opening it while this end is not there yet fails with ENOTCONN.
    """
    other = _IFINFO.pack(0, 0, peer_index, 0, 0) + b"".join(
        (
            text(_IFLA_IFNAME, peer),
            u32(_IFLA_MTU, mtu),
            mac(_IFLA_ADDRESS, peer_mac),
            _ONE_QUEUE,
            u32(_IFLA_NET_NS_FD, peer_namespace),
        )
    )
    info = nested(_IFLA_LINKINFO, text(1, "veth"), nested(2, attribute(1, other)))
    body = [
        _header(index, up=up),
        text(_IFLA_IFNAME, name),
        u32(_IFLA_MTU, mtu),
        _ONE_QUEUE,
    ]
    if master:
        body.append(u32(_IFLA_MASTER, master))
    if address:
        body.append(mac(_IFLA_ADDRESS, address))
    return message(RTM_NEWLINK, _NEW, b"".join((*body, info)))


def new_bridge(*, name: str, mtu: int, address: str, index: int = 0) -> bytes:
    """A bridge that is up, without multicast snooping: 9 % of a port's cost, and no use here."""
    options = nested(2, u8(23, 0))  # IFLA_BR_MCAST_SNOOPING
    return message(
        RTM_NEWLINK,
        _NEW,
        _header(index, up=True)
        + text(_IFLA_IFNAME, name)
        + u32(_IFLA_MTU, mtu)
        + mac(_IFLA_ADDRESS, address)
        + nested(_IFLA_LINKINFO, text(1, "bridge"), options),
    )


def new_dummy(name: str) -> bytes:
    """A link that carries nothing and stays down: a place for addresses."""
    info = nested(_IFLA_LINKINFO, text(1, "dummy"))
    return message(RTM_NEWLINK, _NEW, _header() + text(_IFLA_IFNAME, name) + info)


def new_vxlan(
    *, name: str, vni: int, port: int, local: str, device: int, mtu: int, address: str
) -> bytes:
    """flannel's device: no learning, one underlay device, source address `local`."""
    local_kind = 17 if ":" in local else 4
    options = (
        u32(1, vni),
        u32(3, device),
        attribute(local_kind, packed(local)),
        u8(7, 0),  # IFLA_VXLAN_LEARNING
        attribute(15, struct.pack(">H", port)),
    )
    return message(
        RTM_NEWLINK,
        _NEW,
        _header(up=True)
        + text(_IFLA_IFNAME, name)
        + u32(_IFLA_MTU, mtu)
        + mac(_IFLA_ADDRESS, address)
        + nested(_IFLA_LINKINFO, text(1, "vxlan"), nested(2, *options)),
    )


def set_link(
    index: int,
    *,
    up: bool | None = None,
    mtu: int = 0,
    address: str = "",
    group: int = 0,
    master: int = 0,
    link_local: bool = True,
) -> bytes:
    """Change a link that exists; what is left out stays as it is."""
    body = [_header(index, up=up)]
    if mtu:
        body.append(u32(_IFLA_MTU, mtu))
    if address:
        body.append(mac(_IFLA_ADDRESS, address))
    if group:
        body.append(u32(_IFLA_GROUP, group))
    if master:
        body.append(u32(_IFLA_MASTER, master))
    if not link_local:
        body.append(NO_LINK_LOCAL)
    return message(RTM_SETLINK, 0, b"".join(body))


def bridge_port(index: int, *, hairpin: bool, answers_arp: bool) -> bytes:
    """Port flags. Hairpin lets a pod reach itself through its Service.

    `answers_arp`: the bridge answers ARP for what is behind this port from its neighbour and FDB
    entries, so the question floods nobody. Of the kernel's three ways to that, neigh_suppress does
    not answer for ports like these, and plain proxy_arp also cuts the port off from all broadcast
    and multicast, NDP included; proxy_arp_wifi does just this.
    """
    flags = nested(_IFLA_PROTINFO | 0x8000, u8(4, hairpin), u8(12, answers_arp))
    return message(RTM_SETLINK, 0, _header(index, family=socket.AF_BRIDGE) + flags)


def settle_link(index: int) -> bytes:
    """Have the kernel act on a carrier that has just come, instead of in a work queue later.

    Asking for one link does that since Linux 6.8 (rtnl_getlink calls linkwatch_sync_dev); older
    ones only answer. The work queue needs the lock that whoever makes links holds, and comes late.
    """
    return message(RTM_GETLINK, 0, _header(index) + u32(_IFLA_EXT_MASK, _SKIP_STATISTICS))


def delete_link(index: int) -> bytes:
    return message(RTM_DELLINK, 0, _header(index))


def delete_group(group: int) -> bytes:
    """All links of a group at once: one wait for RCU (20 ms) instead of one for each link."""
    return message(RTM_DELLINK, 0, _header() + u32(_IFLA_GROUP, group))
