"""Queries and replies, and how they become bytes.

A reply goes out uncompressed when it fits, as CoreDNS sends it; else names are compressed, and what
does not fit then is left out with TC set. Compression never points past offset 0x3FFF.
https://www.rfc-editor.org/rfc/rfc1035 §4, https://www.rfc-editor.org/rfc/rfc6891
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from netemu.dns import wire
from netemu.dns.records import Record

ONCE, SECOND, LASTING = 0, 1, 2
"""How long a reply may answer further queries of the same bytes: not at all; for the rest of this
second; until one of its tags changes."""

UDP_FRAGMENT_V4, UDP_FRAGMENT_V6 = 1480, 1220
"""Above this an UDP reply is compressed even when the client has room (CoreDNS's last ditch)."""

_COMPRESSIBLE = {wire.CNAME: 0, wire.NS: 0, wire.PTR: 0, wire.MX: 2}
"""Types with one name at the end of the rdata that may be compressed, and where it starts."""


@dataclass(slots=True)
class Edns:
    """The OPT record of a query."""

    size: int
    version: int = 0
    do: bool = False
    options: tuple[tuple[int, bytes], ...] = ()
    """(code, data); they go upstream with the query, after what `rewrite edns0` did to them."""


@dataclass(slots=True)
class Query:
    """A question on its way through the plugins. Plugins copy before they change it."""

    id: int
    flags: int
    asked: bytes
    """The name in the client's own spelling, wire form."""
    name: bytes
    """The name lower-cased."""
    starts: tuple[int, ...]
    """Where each label starts in the name, the root last."""
    qtype: int
    qclass: int = wire.IN
    edns: Edns | None = None
    proto: str = "udp"
    family: int = 4
    client: tuple[Any, ...] = ("127.0.0.1", 0)
    local: tuple[Any, ...] = ("127.0.0.1", 53)
    size: int = 0
    """Octets of the query as it came in."""
    limit: int = 65535
    """The most octets that the reply may have."""
    zone: bytes = wire.ROOT
    """The zone of the server block that serves it."""
    server: str = ""
    """`dns://:53`, as CoreDNS labels its metrics."""
    serial: int | None = None
    """The serial that an IXFR's client has."""
    depth: int = 0
    """How many lookups of ours led to this one (a CNAME's target and the like)."""

    @property
    def labels(self) -> list[bytes]:
        return wire.labels(self.name)

    def ask(self, name: bytes, qtype: int) -> Query:
        """The same query with another question (for CNAME targets and rewrites)."""
        lower = name.lower()
        starts = tuple(wire.offsets(lower))
        return replace(self, asked=name, name=lower, starts=starts, qtype=qtype)


@dataclass(slots=True)
class Reply:
    """What goes back. Lists belong to the reply; plugins on the way out may change them."""

    rcode: int = wire.NOERROR
    answer: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)
    authoritative: bool = False
    recursion_available: bool = False
    truncated: bool = False
    authentic: bool = False
    keep: int = ONCE
    tags: tuple[object, ...] = ()
    """What the reply was made from; when one of them changes it may not be used again."""
    silent: bool = False
    """Say nothing at all (`acl` with drop)."""
    extended: tuple[int, str] | None = None
    """An extended error, (code, text), for clients that speak EDNS (RFC 8914)."""
    set_flags: int = 0
    clear_flags: int = 0
    """Bits of the header that a plugin wants set or clear in spite of all else."""
    plugin: str = ""
    """Who answered, for the metrics."""
    repeated: Callable[[int], None] | None = None
    """Told how many times a kept reply was sent again (the cache counts its hits so)."""
    sample: Sample | None = None
    """What the metrics counted it under; they count repetitions of the same bytes there too."""
    following: tuple[Reply, ...] = ()
    """Further messages of the same answer (zone transfers, over TCP)."""
    orders: int = 1
    """In how many orders the addresses may be sent in turn (loadbalance)."""

    def copy(self) -> Reply:
        return replace(
            self,
            answer=list(self.answer),
            authority=list(self.authority),
            additional=list(self.additional),
        )


class Sample(Protocol):
    """Where one sort of reply is counted."""

    def add(self, count: int, seconds: float) -> None:
        """Count `count` more replies that took `seconds` each."""


def parse(data: bytes) -> Query:
    """The query in `data`, at least 12 octets with a plausible header (see `accept`).

    Raises `wire.Malformed`.
    """
    number, flags, _, answers, authorities, additionals = wire.HEADER.unpack_from(data)
    starts, end = wire.read_question(data)
    if end + 4 > len(data):
        raise wire.Malformed("the question is cut")
    qtype, qclass = wire.QUESTION.unpack_from(data, end)
    asked = data[12:end]
    query = Query(number, flags, asked, asked.lower(), starts, qtype, qclass, size=len(data))
    if rest := answers + authorities + additionals:
        _take_records(query, data, end + 4, rest)
    return query


def _take_records(query: Query, data: bytes, at: int, count: int) -> None:
    """Step over `count` records; take the OPT among them, and what an IXFR says of its serial."""
    for _ in range(count):
        owner, at = wire.read_name(data, at)
        if at + 10 > len(data):
            raise wire.Malformed("a record is cut")
        kind, cls, ttl, length = wire.FIXED.unpack_from(data, at)
        at += 10 + length
        if at > len(data):
            raise wire.Malformed("a record is cut")
        if kind == wire.OPT:
            if query.edns is not None or owner != wire.ROOT:
                raise wire.Malformed("more than one OPT record, or one that is not the root's")
            options = _options(data[at - length : at]) if length else ()
            query.edns = Edns(cls, ttl >> 16 & 0xFF, bool(ttl & 0x8000), options)
        elif kind == wire.SOA and query.qtype == wire.IXFR and length >= 22:
            query.serial = int.from_bytes(data[at - 20 : at - 16], "big")


def _options(data: bytes) -> tuple[tuple[int, bytes], ...]:
    found, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise wire.Malformed("an EDNS option is cut")
        code, length = wire.OPTION.unpack_from(data, at)
        at += 4 + length
        if at > len(data):
            raise wire.Malformed("an EDNS option is cut")
        found.append((code, data[at - length : at]))
    return tuple(found)


def header_only(data: bytes, rcode: int) -> bytes:
    """The 12 octets that answer what cannot be read: id, opcode and RD copied."""
    flags = int.from_bytes(data[2:4], "big") & (wire.OPCODE | wire.RD) | wire.QR | rcode
    return data[:2] + flags.to_bytes(2, "big") + bytes(8)


def failure(data: bytes, rcode: int) -> bytes:
    """An answer without records to a query that can be read, with its question and OPT.

    Not a bare header: who compares the question of a reply would take it for another's.
    """
    try:
        return encode(parse(data), Reply(rcode, recursion_available=True))
    except wire.Malformed:
        return header_only(data, wire.FORMERR)


def accept(data: bytes) -> int | None:
    """None: parse it; -1: say nothing; else the rcode of a bare header (miekg/dns's rules)."""
    if len(data) < 12:
        return -1
    flags = data[2]
    if flags & 0x80:
        return -1
    if flags & 0x78 not in (0, 0x20):  # QUERY, NOTIFY
        return wire.NOTIMP
    if data[4:6] != b"\0\1" or data[6] or data[7] > 1 or data[8] or data[9] > 1:
        return wire.FORMERR
    return wire.FORMERR if data[10] or data[11] > 2 else None


def encode(query: Query, reply: Reply) -> bytes:
    """The reply's bytes, at most `query.limit` of them."""
    question = query.asked + wire.QUESTION.pack(query.qtype, query.qclass)
    opt = _opt(query, reply)
    sections = (reply.answer, reply.authority, reply.additional)
    body = b"".join(
        [
            record[0] + wire.FIXED.pack(record[1], record[4], record[2], len(record[3])) + record[3]
            for section in sections
            for record in section
        ]
    )
    size = 12 + len(question) + len(body) + len(opt)
    fragment = UDP_FRAGMENT_V4 if query.family == 4 else UDP_FRAGMENT_V6
    if size <= query.limit and (size <= fragment or query.proto != "udp"):
        counts = [len(section) for section in sections]
        return _header(query, reply, counts, opt, reply.truncated) + question + body + opt
    body, counts, whole = _compressed(sections, question, query.limit - len(opt))
    return _header(query, reply, counts, opt, reply.truncated or not whole) + question + body + opt


def _header(query: Query, reply: Reply, counts: list[int], opt: bytes, truncated: bool) -> bytes:
    flags = query.flags & (wire.OPCODE | wire.RD | wire.CD) | wire.QR | reply.rcode & 15
    if reply.authoritative:
        flags |= wire.AA
    if reply.recursion_available:
        flags |= wire.RA
    if reply.authentic:
        flags |= wire.AD
    if truncated:
        flags |= wire.TC
    flags = flags & ~reply.clear_flags | reply.set_flags
    return wire.HEADER.pack(query.id, flags, 1, counts[0], counts[1], counts[2] + bool(opt))


def _opt(query: Query, reply: Reply) -> bytes:
    """The OPT that answers the query's: its size and DO echoed, version 0, none of its options."""
    if query.edns is None:
        return b""
    ttl = (reply.rcode >> 4) << 24 | (0x8000 if query.edns.do else 0)
    option = b""
    if reply.extended is not None:
        code, text = reply.extended
        data = code.to_bytes(2, "big") + text.encode()
        option = wire.OPTION.pack(wire.EXTENDED_ERROR, len(data)) + data
    return wire.ROOT + wire.FIXED.pack(wire.OPT, query.edns.size, ttl, len(option)) + option


def _compressed(
    sections: tuple[list[Record], list[Record], list[Record]], question: bytes, limit: int
) -> tuple[bytes, list[int], bool]:
    """Whole records in order while they fit; how many of each section; whether all did."""
    out = bytearray(12) + question
    table: dict[bytes, int] = {}
    _remember(table, question[:-4], 12)
    counts = [0, 0, 0]
    for index, section in enumerate(sections):
        for record in section:
            mark = len(out)
            _append(out, table, record)
            if len(out) > limit:
                return bytes(out[12 + len(question) : mark]), counts, False
            counts[index] += 1
    return bytes(out[12 + len(question) :]), counts, True


def _append(out: bytearray, table: dict[bytes, int], record: Record) -> None:
    _append_name(out, table, record.name)
    start = len(out)
    out += wire.FIXED.pack(record.type, record.cls, record.ttl, 0)
    rdata = record.rdata
    skip = _COMPRESSIBLE.get(record.type)
    if skip is not None:
        out += rdata[:skip]
        _append_name(out, table, rdata[skip:])
    elif record.type == wire.SOA:
        primary, at = wire.read_name(rdata, 0)
        mailbox, at = wire.read_name(rdata, at)
        _append_name(out, table, primary)
        _append_name(out, table, mailbox)
        out += rdata[at:]
    else:
        out += rdata
    out[start + 8 : start + 10] = (len(out) - start - 10).to_bytes(2, "big")


def _append_name(out: bytearray, table: dict[bytes, int], name: bytes) -> None:
    at = 0
    while length := name[at]:
        known = table.get(name[at:])
        if known is not None:
            out += (0xC000 | known).to_bytes(2, "big")
            return
        if len(out) < 0x4000:
            table[name[at:]] = len(out)
        out += name[at : at + length + 1]
        at += length + 1
    out += wire.ROOT


def _remember(table: dict[bytes, int], name: bytes, base: int) -> None:
    for at in wire.offsets(name)[:-1]:
        table[name[at:]] = base + at
