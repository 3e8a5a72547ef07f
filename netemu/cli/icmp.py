"""Echo requests and replies as bytes, for IPv4 and IPv6 (RFC 792, RFC 4443)."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!BBHHH")
REQUEST = {4: 8, 6: 128}
REPLY = {4: 0, 6: 129}
UNREACHABLE = {4: 3, 6: 1}
REASONS = {
    4: {0: "net unreachable", 1: "host unreachable", 3: "port unreachable", 13: "prohibited"},
    6: {0: "no route", 1: "prohibited", 3: "address unreachable", 4: "port unreachable"},
}


class Answer(NamedTuple):
    """A reply to (identifier, sequence); `error` says why an unreachable is one."""

    identifier: int
    sequence: int
    error: str = ""
    ttl: int = 0


def request(family: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request; the kernel fills in the checksum for IPv6."""
    head = _HEADER.pack(REQUEST[family], 0, 0, identifier, sequence)
    if family == 6:
        return head + payload
    return _HEADER.pack(8, 0, _checksum(head + payload), identifier, sequence) + payload


def parse(family: int, packet: bytes) -> Answer | None:
    """What a raw socket received; None when it is not about an echo request."""
    ttl = 0
    if family == 4:
        ttl = packet[8]
        packet = packet[(packet[0] & 0x0F) * 4 :]
    if len(packet) < _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(packet)
    if kind == REPLY[family]:
        return Answer(identifier, sequence, ttl=ttl)
    if kind == UNREACHABLE[family]:
        return _unreachable(family, code, packet[8:])
    return None


def _unreachable(family: int, code: int, quoted: bytes) -> Answer | None:
    """The error quotes the packet that it is about."""
    inner = quoted[(quoted[0] & 0x0F) * 4 :] if family == 4 and quoted else quoted[40:]
    if len(inner) < _HEADER.size:
        return None
    kind, _, _, identifier, sequence = _HEADER.unpack_from(inner)
    if kind != REQUEST[family]:
        return None
    return Answer(identifier, sequence, error=REASONS[family].get(code, "unreachable"))


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
