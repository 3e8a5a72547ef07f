"""What one namespace's kernel holds, read over rtnetlink into `netstate` values.

rtnetlink(7)
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from netemu.netstate.fdb import FdbEntry
from netemu.netstate.link import Address, VxlanLink
from netemu.netstate.neighbour import Neighbour
from netemu.netstate.route import Route
from netemu.node.inet_messages import NTF_SELF, NUD_PERMANENT
from netemu.node.link_messages import IFF_UP
from netemu.node.netlink import (
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    NetlinkSocket,
    attributes_of,
)

_RT_TABLE_MAIN, _RTN_UNICAST, _RTNH_F_ONLINK = 254, 1, 4
_RTPROT_KERNEL, _RTPROT_RA = 2, 9
_IFLA_PROTINFO, _BR_STATE_FORWARDING = 12, 3
_NDA_IFINDEX = 8
_IFLA_OPERSTATE, _IF_OPER_UP = 16, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedLink:
    """Any link. `vxlan` has its settings when it is one; its `device` is resolved by name."""

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    master: int
    group: int
    vxlan: dict[int, bytes] | None


def observe_links(netlink: NetlinkSocket) -> dict[str, ObservedLink]:
    """Every link, by name."""
    header = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    links = (_link(payload) for _, payload in netlink.dump(RTM_GETLINK, header))
    return {link.name: link for link in links}


def _link(payload: bytes) -> ObservedLink:
    index, flags = struct.unpack_from("=iI", payload, 4)
    found = attributes_of(payload, 16)
    info = attributes_of(found.get(18, b""), 0)
    kind = _text(info.get(1, b""))
    return ObservedLink(
        index=index,
        name=_text(found[3]),
        kind=kind,
        mac=_mac(found.get(1, b"")),
        mtu=_u32(found.get(4)),
        up=bool(flags & IFF_UP),
        master=_u32(found.get(10)),
        group=_u32(found.get(27)),
        vxlan=attributes_of(info.get(2, b""), 0) if kind == "vxlan" else None,
    )


def observe_forwarding(netlink: NetlinkSocket) -> set[int]:
    """Indexes of the bridge ports that pass frames on.

    A new port counts as forwarding at once, but has no queue until the kernel has seen its carrier,
    and drops what it is given; then its operational state becomes UP.
    """
    header = struct.pack("=BxHiII", socket.AF_BRIDGE, 0, 0, 0, 0)
    found = set()
    for _, payload in netlink.dump(RTM_GETLINK, header):
        link = attributes_of(payload, 16)
        port = attributes_of(link.get(_IFLA_PROTINFO, b""), 0)
        up = link.get(_IFLA_OPERSTATE, b"\0")[0] == _IF_OPER_UP
        if up and port.get(1, b"\0")[0] == _BR_STATE_FORWARDING:
            found.add(struct.unpack_from("=i", payload, 4)[0])
    return found


def observe_operational(netlink: NetlinkSocket, index: int) -> bool:
    """Whether a link is ready to send: up, with a carrier, and with a queue."""
    payload = netlink.get(RTM_GETLINK, struct.pack("=BxHiII", 0, 0, index, 0, 0))
    return attributes_of(payload, 16).get(_IFLA_OPERSTATE, b"\0")[0] == _IF_OPER_UP


def vxlan_of(link: ObservedLink, links: dict[str, ObservedLink]) -> VxlanLink:
    """The `netstate` value of a VXLAN link; one that is down is not the one we want."""
    data = link.vxlan or {}
    below = {other.index: other.name for other in links.values()}
    learns = bool(data.get(7, b"\1")[0])
    return VxlanLink(
        name=link.name,
        vni=_u32(data.get(1)),
        port=struct.unpack(">H", data[15])[0] if 15 in data else 0,
        local=_ip(data.get(4) or data.get(17) or b""),
        device=below.get(_u32(data.get(3)), "") if link.up and not learns else "",
        mtu=link.mtu,
        mac=link.mac,
    )


def observe_addresses(netlink: NetlinkSocket, names: dict[int, str]) -> Iterator[Address]:
    """Addresses on the links `names` (index -> name), without link-local ones."""
    for _, payload in netlink.dump(RTM_GETADDR, struct.pack("=BBBBi", 0, 0, 0, 0, 0)):
        _, length, _, scope, index = struct.unpack_from("=BBBBi", payload)
        found = attributes_of(payload, 8)
        if index in names and scope != 253:
            raw = found.get(2) or found[1]
            yield Address(device=names[index], cidr=f"{_ip(raw)}/{length}")


def observe_routes(netlink: NetlinkSocket, names: dict[int, str]) -> Iterator[Route]:
    """Unicast routes of the main table over the links `names`, without the kernel's own."""
    header = struct.pack("=BBBBBBBBI", 0, 0, 0, 0, _RT_TABLE_MAIN, 0, 0, 0, 0)
    for family in (socket.AF_INET, socket.AF_INET6):
        for _, payload in netlink.dump(RTM_GETROUTE, bytes([family]) + header[1:]):
            length, table, protocol = payload[1], payload[4], payload[5]
            kind, flags = payload[7], struct.unpack_from("=I", payload, 8)[0]
            found = attributes_of(payload, 12)
            index = _u32(found.get(4))
            if (
                table != _RT_TABLE_MAIN
                or kind != _RTN_UNICAST
                or protocol in (_RTPROT_KERNEL, _RTPROT_RA)
                or index not in names
            ):
                continue
            any_address = "0.0.0.0" if family == socket.AF_INET else "::"
            yield Route(
                destination=f"{_ip(found[1]) if 1 in found else any_address}/{length}",
                device=names[index],
                gateway=_ip(found.get(5, b"")),
                onlink=bool(flags & _RTNH_F_ONLINK),
            )


def observe_known(netlink: NetlinkSocket, index: int) -> set[str]:
    """Addresses of the permanent neighbours on one link."""
    only = struct.pack("=HHI", 8, _NDA_IFINDEX, index)
    return {
        _ip(found[1])
        for _, state, _, found in _neighbours(netlink, socket.AF_UNSPEC, only)
        if state & NUD_PERMANENT
    }


def observe_neighbours(netlink: NetlinkSocket, names: dict[int, str]) -> Iterator[Neighbour]:
    """Permanent neighbours on the links `names`."""
    for index, state, _, found in _neighbours(netlink, socket.AF_UNSPEC):
        if index in names and state & NUD_PERMANENT and 2 in found:
            yield Neighbour(device=names[index], address=_ip(found[1]), mac=_mac(found[2]))


def observe_fdb(netlink: NetlinkSocket, names: dict[int, str]) -> Iterator[FdbEntry]:
    """Permanent tunnel entries of the VXLAN links `names`."""
    for index, _, flags, found in _neighbours(netlink, socket.AF_BRIDGE):
        if index in names and flags & NTF_SELF and 1 in found and 2 in found:
            mac = _mac(found[2])
            if mac != "00:00:00:00:00:00":
                yield FdbEntry(device=names[index], mac=mac, destination=_ip(found[1]))


def _neighbours(
    netlink: NetlinkSocket, family: int, only: bytes = b""
) -> Iterator[tuple[int, int, int, dict[int, bytes]]]:
    header = struct.pack("=BxxxiHBB", family, 0, 0, 0, 0)
    for _, payload in netlink.dump(RTM_GETNEIGH, header + only):
        index, state, flags = struct.unpack_from("=iHB", payload, 4)
        yield index, state, flags, attributes_of(payload, 12)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()


def _mac(raw: bytes) -> str:
    return raw.hex(":")


def _u32(raw: bytes | None) -> int:
    return int(struct.unpack("=I", raw)[0]) if raw else 0


def _ip(raw: bytes) -> str:
    if not raw:
        return ""
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
