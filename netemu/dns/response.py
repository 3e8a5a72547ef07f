"""Reading what an upstream sent: a reply with all names uncompressed.

Upstreams may lie, so every bound is checked and the caller compares id and question.
RFC 1035 section 4
"""

from __future__ import annotations

from netemu.dns import wire
from netemu.dns.message import Reply
from netemu.dns.records import Record

_NAMES_FIRST = {wire.CNAME: 1, wire.NS: 1, wire.PTR: 1, wire.DNAME: 1, wire.SOA: 2}
"""How many names the rdata begins with."""
_NAME_AFTER = {wire.MX: 2, wire.SRV: 6, 18: 2, 36: 2}
"""Octets in front of the one name of the rdata."""


def read(data: bytes) -> tuple[int, bytes, int, int, Reply]:
    """(id, question name, type, class, reply) of a response; raises `wire.Malformed`."""
    if len(data) < 12:
        raise wire.Malformed("shorter than a header")
    number, flags, questions, *counts = wire.HEADER.unpack_from(data)
    if not flags & wire.QR or questions != 1:
        raise wire.Malformed("not a response to one question")
    name, at = wire.read_name(data, 12)
    if at + 4 > len(data):
        raise wire.Malformed("the question is cut")
    qtype, qclass = wire.QUESTION.unpack_from(data, at)
    at += 4
    sections: list[list[Record]] = [[], [], []]
    rcode = flags & 15
    for section, count in zip(sections, counts, strict=True):
        for _ in range(count):
            record, at = _record(data, at)
            if record.type == wire.OPT:
                rcode |= record.ttl >> 24 << 4
            else:
                section.append(record)
    reply = Reply(
        rcode,
        answer=sections[0],
        authority=sections[1],
        additional=sections[2],
        authoritative=bool(flags & wire.AA),
        recursion_available=bool(flags & wire.RA),
        truncated=bool(flags & wire.TC),
        authentic=bool(flags & wire.AD),
    )
    return number, name, qtype, qclass, reply


def _record(data: bytes, at: int) -> tuple[Record, int]:
    owner, at = wire.read_name(data, at)
    if at + 10 > len(data):
        raise wire.Malformed("a record is cut")
    kind, cls, ttl, length = wire.FIXED.unpack_from(data, at)
    at += 10
    end = at + length
    if end > len(data):
        raise wire.Malformed("a record is cut")
    return Record(owner, kind, ttl, _rdata(data, at, end, kind), cls), end


def _rdata(data: bytes, at: int, end: int, kind: int) -> bytes:
    leading = _NAMES_FIRST.get(kind, 0)
    skip = _NAME_AFTER.get(kind)
    if not leading and skip is None:
        return data[at:end]
    parts = [data[at : at + (skip or 0)]]
    at += skip or 0
    for _ in range(leading or 1):
        name, at = wire.read_name(data, at)
        parts.append(name)
    if at > end:
        raise wire.Malformed("a name runs out of its record")
    parts.append(data[at:end])
    return b"".join(parts)
