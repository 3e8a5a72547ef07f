"""Encoding, against dnspython."""

from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.dns import message, records, response, wire
from netemu.dns.message import Edns, Query, Reply
from netemu.dns.records import Record

NAME = wire.from_text("Web.alpha.svc.cluster.local")


def query(name: bytes = NAME, qtype: int = wire.A, **fields) -> Query:
    lower = name.lower()
    return Query(7, wire.RD, name, lower, tuple(wire.offsets(lower)), qtype, **fields)


def addresses(count: int, name: bytes = NAME) -> list[Record]:
    return [records.address(name, 30, bytes([10, 0, n // 250, n % 250])) for n in range(count)]


def test_a_small_reply_is_not_compressed():
    data = message.encode(query(), Reply(answer=addresses(2)))
    assert data.count(b"\3Web") == 3


def test_a_large_one_is():
    data = message.encode(query(limit=512, edns=None), Reply(answer=addresses(20)))
    assert data.count(b"\3Web") == 1
    assert not dns.message.from_wire(data).flags & dns.flags.TC


@given(st.integers(0, 400), st.integers(512, 4096), st.booleans())
def test_whole_records_within_the_limit(count, limit, edns):
    asked = query(limit=limit, edns=Edns(limit) if edns else None)
    data = message.encode(asked, Reply(answer=addresses(count)))
    assert len(data) <= limit
    reply = dns.message.from_wire(data)
    found = sum(len(rrset) for rrset in reply.answer)
    assert bool(reply.flags & dns.flags.TC) == (found < count)
    assert (reply.edns == 0) == edns
    assert reply.question[0].name.to_text() == "Web.alpha.svc.cluster.local."


def test_more_than_16_kib_with_names_stored_late():
    """Offsets over 0x3FFF must not become pointers (dnslib's mistake)."""
    answer, additional = [], []
    for number in range(240):
        target = wire.from_text(f"pod-{number}.{'x' * 40}.big.svc.cluster.local")
        answer.append(records.srv(NAME, 30, 1, 80, target))
        additional.append(records.address(target, 30, bytes(16)))
        additional.append(records.address(target, 30, number.to_bytes(4, "big")))
    data = message.encode(query(qtype=wire.SRV), Reply(answer=answer, additional=additional))
    assert len(data) > 0x4000
    reply = dns.message.from_wire(data)
    assert sum(len(rrset) for rrset in reply.answer) == 240
    assert sum(len(rrset) for rrset in reply.additional) == 480


def test_over_64_kib_even_tcp_is_truncated():
    data = message.encode(query(), Reply(answer=addresses(250 * 250)[:5000]))
    assert len(data) <= 65535
    assert dns.message.from_wire(data).flags & dns.flags.TC


SOA = records.soa(
    wire.from_text("example.org"),
    60,
    primary=wire.from_text("ns.example.org"),
    mailbox=wire.from_text("root.example.org"),
    serial=2**32 + 5,
    minimum=30,
)

SAMPLES = [
    records.address(NAME, 1, bytes([10, 0, 0, 1])),
    records.address(NAME, 1, bytes(15) + b"\1"),
    records.cname(NAME, 1, wire.from_text("a.example.org")),
    records.srv(NAME, 1, 50, 443, wire.from_text("b.example.org")),
    records.txt(NAME, 1, b"x" * 300),
    Record(NAME, wire.MX, 1, b"\0\12" + wire.from_text("mx.example.org")),
    records.hinfo(NAME, 1, b"cpu", b"os"),
    Record(NAME, 65280, 1, b"\1\2\3"),
    SOA,
]


@pytest.mark.parametrize("limit", [65535, 512])
def test_every_type_reads_back(limit):
    sent = Reply(answer=SAMPLES * (1 if limit == 512 else 20), authoritative=True)
    data = message.encode(query(limit=limit), sent)
    number, name, qtype, qclass, got = response.read(data)
    assert (number, name, qtype, qclass) == (7, NAME, wire.A, wire.IN)
    assert got.answer == sent.answer[: len(got.answer)]
    assert got.authoritative
    dns.message.from_wire(data)


def test_flags_are_set_and_cleared_in_spite_of_all():
    reply = Reply(authoritative=True, set_flags=wire.RA, clear_flags=wire.AA | wire.RD)
    assert dns.flags.to_text(dns.message.from_wire(message.encode(query(), reply)).flags) == "QR RA"


@given(st.binary(min_size=12, max_size=100))
def test_parsing_any_bytes(data):
    refusal = message.accept(data)
    if refusal is None:
        try:
            parsed = message.parse(data)
        except wire.Malformed:
            return
        assert parsed.asked.lower() == parsed.name
        assert parsed.name[parsed.starts[-1]] == 0


@given(st.binary(max_size=200))
def test_reading_any_response(data):
    with contextlib.suppress(wire.Malformed):
        response.read(b"\0\0\x81\x80\0\1\0\2\0\1\0\1" + data)
