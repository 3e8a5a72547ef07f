"""Conntrack entries as values: their netlink form, and which of them a Service change strands.

A UDP "connection" lives as long as its client talks; one that was translated to an endpoint that
no longer serves would go there for ever (k/k #48370, #126130). TCP ends by itself.
https://git.netfilter.org/libnetfilter_conntrack/, linux/netfilter/nfnetlink_conntrack.h
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address

NFNL_SUBSYS_CTNETLINK = 1
IPCTNL_MSG_CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1
IPCTNL_MSG_CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2

_NESTED = 0x8000
_TUPLE_ORIG, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_V4_SRC, _V4_DST, _V6_SRC, _V6_DST = 1, 2, 3, 4
_PROTO_NUM, _SRC_PORT, _DST_PORT = 1, 2, 3
_FILTER, _FILTER_ORIG_FLAGS, _FILTER_REPLY_FLAGS = 25, 1, 2
_BY_SOURCE, _BY_TARGET, _BY_PROTOCOL = 1 << 0, 1 << 1, 1 << 3
_BY_SOURCE_PORT, _BY_TARGET_PORT = 1 << 4, 1 << 5

PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}

Place = tuple[str, int]
"""An address and a port."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tracked connection, as the client sent it and as the answers come."""

    protocol: str
    source: str
    destination: str
    source_port: int
    destination_port: int
    reply_source: str
    reply_source_port: int
    tuple_attribute: bytes = field(default=b"", compare=False, repr=False)
    """CTA_TUPLE_ORIG as received: what a delete request carries."""


def attributes(data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of netlink attributes."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, bytes(data[at + 4 : at + length])
        at += (length + 3) & ~3


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute, padded."""
    raw = struct.pack("=HH", len(payload) + 4, kind) + payload
    return raw + b"\0" * (-len(raw) % 4)


@lru_cache(maxsize=4096)  # a table of thousands of entries holds few addresses
def _address(packed: bytes) -> str:
    return str(ip_address(packed))


def _tuple(data: bytes) -> tuple[str, str, int, int, int]:
    """(source, destination, protocol number, source port, destination port)."""
    parts = dict(attributes(data))
    addresses = dict(attributes(parts.get(_TUPLE_IP, b"")))
    source = addresses.get(_V4_SRC) or addresses.get(_V6_SRC) or b""
    destination = addresses.get(_V4_DST) or addresses.get(_V6_DST) or b""
    proto = dict(attributes(parts.get(_TUPLE_PROTO, b"")))

    def port(kind: int) -> int:
        return int.from_bytes(proto.get(kind, b"\0\0"), "big")

    number = proto.get(_PROTO_NUM, b"\0")[0]
    return (
        _address(source),
        _address(destination),
        number,
        port(_SRC_PORT),
        port(_DST_PORT),
    )


def parse_entry(payload: bytes | memoryview) -> Entry | None:
    """The entry in one CT message behind its nfgenmsg; None for one that has no ports."""
    found = dict(attributes(payload))
    if _TUPLE_ORIG not in found or _TUPLE_REPLY not in found:
        return None
    source, destination, number, source_port, destination_port = _tuple(found[_TUPLE_ORIG])
    reply = _tuple(found[_TUPLE_REPLY])
    if number not in PROTOCOLS:
        return None
    original = found[_TUPLE_ORIG]
    return Entry(
        PROTOCOLS[number],
        source,
        destination,
        source_port,
        destination_port,
        reply[0],
        reply[3],
        attribute(_TUPLE_ORIG | _NESTED, original),
    )


@dataclass(frozen=True, slots=True)
class Look:
    """Which UDP entries to read: those sent to `place`, or those answered from there."""

    place: Place
    answered: bool

    def attributes(self) -> bytes:
        """The kernel's filter; kernels before 5.8 do not know it and list everything.

        By the port alone in IPv6: the kernel compares those addresses the wrong way round, and
        lists just what was not asked for (ctnetlink_filter_match_tuple, seen in 6.18).
        """
        if self.answered:
            kind, side = _TUPLE_REPLY, _FILTER_REPLY_FLAGS
            address, by_address, port, by_port = _V4_SRC, _BY_SOURCE, _SRC_PORT, _BY_SOURCE_PORT
        else:
            kind, side = _TUPLE_ORIG, _FILTER_ORIG_FLAGS
            address, by_address, port, by_port = _V4_DST, _BY_TARGET, _DST_PORT, _BY_TARGET_PORT
        proto = attribute(_PROTO_NUM, b"\x11") + attribute(port, self.place[1].to_bytes(2, "big"))
        wanted, flags = attribute(_TUPLE_PROTO | _NESTED, proto), _BY_PROTOCOL | by_port
        packed = ip_address(self.place[0]).packed
        if len(packed) == 4:
            wanted = attribute(_TUPLE_IP | _NESTED, attribute(address, packed)) + wanted
            flags |= by_address
        chosen = attribute(side, struct.pack("=I", flags))
        return attribute(kind | _NESTED, wanted) + attribute(_FILTER | _NESTED, chosen)


@dataclass(frozen=True, slots=True)
class Served:
    """Where UDP Services of a node are found and what serves them: (address, port) pairs."""

    addresses: Mapping[Place, frozenset[Place]]
    """By ClusterIP, external or load balancer address, and port."""
    node_ports: Mapping[int, frozenset[Place]]


def looks(former: Served, now: Served, node_addresses: frozenset[str]) -> frozenset[Look]:
    """Where to look for stranded entries: they are answered by endpoints that serve no longer.

    Where none is known to have served, an entry may lead anywhere, also to the Service's own
    address, untranslated; then there are few.
    """
    found: set[Look] = set()
    for place, serving in now.addresses.items():
        before = former.addresses.get(place)
        found |= {Look(gone, answered=True) for gone in (before or frozenset()) - serving}
        if not before:
            found.add(Look(place, answered=False))
    for port, serving in now.node_ports.items():
        before = former.node_ports.get(port)
        found |= {Look(gone, answered=True) for gone in (before or frozenset()) - serving}
        if not before:
            found |= {Look((address, port), answered=False) for address in node_addresses}
    return frozenset(found)


def stale(entries: Iterable[Entry], served: Served, node_addresses: frozenset[str]) -> list[Entry]:
    """UDP entries whose original destination is a Service and whose answers come from elsewhere."""
    found = []
    for entry in entries:
        if entry.protocol != "udp":
            continue
        serving = served.addresses.get((entry.destination, entry.destination_port))
        if serving is None and entry.destination in node_addresses:
            serving = served.node_ports.get(entry.destination_port)
        answers = (entry.reply_source, entry.reply_source_port)
        if serving is not None and answers not in serving:
            found.append(entry)
    return found
