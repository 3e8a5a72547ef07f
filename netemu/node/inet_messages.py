"""Requests about addresses, routes, neighbours and forwarding entries of both families.

Only bytes are made here; nothing is sent. ip-address(8), ip-route(8), ip-neighbour(8), bridge(8).
"""

from __future__ import annotations

import socket
import struct

from netemu.node.netlink import (
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RTM_DELADDR,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_NEWADDR,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    attribute,
    family_of,
    mac,
    message,
    packed,
    u32,
)

NTF_SELF, NTF_MASTER = 2, 4
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
_RTNH_F_ONLINK = 4
_IFA_F_NODAD, _IFA_F_NOPREFIXROUTE = 2, 0x200
_FOREVER = 0xFFFFFFFF
_PUT = NLM_F_CREATE | NLM_F_REPLACE

_NDMSG = struct.Struct("=BxxxiHBB")
_RTMSG = struct.Struct("=BBBBBBBBI")


def _address(kind: int, message_flags: int, index: int, cidr: str, flags: int) -> bytes:
    address, _, length = cidr.partition("/")
    raw = packed(address)
    header = struct.pack("=BBBBi", family_of(address), int(length), 0, 0, index)
    return message(
        kind, message_flags, header + attribute(2, raw) + attribute(1, raw) + u32(8, flags)
    )


def add_placeholder(index: int, address: str) -> bytes:
    """An address that the machine answers for, but never chooses as the source of its own packets.

    IPv6 has that: an address whose preferred lifetime is over (RFC 6724, rule 3). To IPv4 it would
    be chosen for its own link only, and a placeholder's link sends nothing.
    """
    if ":" not in address:
        return add_address(index, f"{address}/32")
    raw = packed(address)
    header = struct.pack("=BBBBi", family_of(address), 128, 0, 0, index)
    lifetimes = struct.pack("=IIII", 0, _FOREVER, 0, 0)
    flags = u32(8, _IFA_F_NODAD | _IFA_F_NOPREFIXROUTE)
    body = header + attribute(2, raw) + attribute(1, raw) + attribute(6, lifetimes) + flags
    return message(RTM_NEWADDR, _PUT, body)


def add_address(index: int, cidr: str, *, prefix_route: bool = True) -> bytes:
    """`cidr` is address/length. IPv6 without duplicate detection: it would delay the address.

    `prefix_route`: whether the kernel adds the route that takes the whole prefix as on-link.
    """
    flags = _IFA_F_NODAD if ":" in cidr else 0
    if not prefix_route:
        flags |= _IFA_F_NOPREFIXROUTE
    return _address(RTM_NEWADDR, _PUT, index, cidr, flags)


def delete_address(index: int, cidr: str) -> bytes:
    return _address(RTM_DELADDR, 0, index, cidr, 0)


def _route(
    kind: int, flags: int, destination: str, index: int, gateway: str, onlink: bool, source: str
) -> bytes:
    address, _, length = destination.partition("/")
    family = family_of(address)
    scope = RT_SCOPE_UNIVERSE if gateway or family == socket.AF_INET6 else RT_SCOPE_LINK
    nexthop = _RTNH_F_ONLINK if onlink else 0
    protocol, unicast, main = 3, 1, 254  # RTPROT_BOOT, as ip-route(8) writes
    parts = [_RTMSG.pack(family, int(length), 0, 0, main, protocol, scope, unicast, nexthop)]
    if int(length):
        parts.append(attribute(1, packed(address)))
    if gateway:
        parts.append(attribute(5, packed(gateway)))
    if source:
        parts.append(attribute(7, packed(source)))
    parts.append(u32(4, index))
    return message(kind, flags, b"".join(parts))


def add_route(
    destination: str, index: int, *, gateway: str = "", onlink: bool = False, source: str = ""
) -> bytes:
    """`destination` is address/length; `0.0.0.0/0` or `::/0` for the default."""
    return _route(RTM_NEWROUTE, _PUT, destination, index, gateway, onlink, source)


def delete_route(destination: str, index: int, *, gateway: str = "") -> bytes:
    return _route(RTM_DELROUTE, 0, destination, index, gateway, False, "")


def add_neighbour(index: int, address: str, lladdr: str) -> bytes:
    """Permanent, so neither ARP nor the machine-wide limit of entries (gc_thresh3) matters."""
    header = _NDMSG.pack(family_of(address), index, NUD_PERMANENT, 0, 0)
    return message(RTM_NEWNEIGH, _PUT, header + attribute(1, packed(address)) + mac(2, lladdr))


def delete_neighbour(index: int, address: str) -> bytes:
    header = _NDMSG.pack(family_of(address), index, 0, 0, 0)
    return message(RTM_DELNEIGH, 0, header + attribute(1, packed(address)))


def add_tunnel_entry(index: int, lladdr: str, destination: str) -> bytes:
    """VXLAN: frames to `lladdr` go to the node `destination`."""
    header = _NDMSG.pack(socket.AF_BRIDGE, index, NUD_PERMANENT | NUD_NOARP, NTF_SELF, 0)
    body = header + mac(2, lladdr) + attribute(1, packed(destination))
    return message(RTM_NEWNEIGH, _PUT, body)


def delete_tunnel_entry(index: int, lladdr: str, destination: str) -> bytes:
    header = _NDMSG.pack(socket.AF_BRIDGE, index, 0, NTF_SELF, 0)
    return message(RTM_DELNEIGH, 0, header + mac(2, lladdr) + attribute(1, packed(destination)))


def add_port_entry(index: int, lladdr: str) -> bytes:
    """Bridge: frames to `lladdr` leave through port `index`; never learned, never aged.

    NUD_PERMANENT would make it an address of the bridge itself, and pods' frames would vanish.
    """
    header = _NDMSG.pack(socket.AF_BRIDGE, index, NUD_NOARP, NTF_MASTER, 0)
    return message(RTM_NEWNEIGH, _PUT, header + mac(2, lladdr))
