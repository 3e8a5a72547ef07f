"""Conntrack messages, and which UDP entries a Service change strands."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address

from netemu.netstate.conntrack import Entry, Look, Served, looks, parse_entry, stale


def attribute(kind: int, payload: bytes) -> bytes:
    raw = struct.pack("=HH", len(payload) + 4, kind) + payload
    return raw + b"\0" * (-len(raw) % 4)


def tuple_of(source: str, destination: str, number: int, sport: int, dport: int) -> bytes:
    first = 3 if ":" in source else 1
    addresses = attribute(first, ip_address(source).packed)
    addresses += attribute(first + 1, ip_address(destination).packed)
    proto = attribute(1, bytes([number])) + attribute(2, sport.to_bytes(2, "big"))
    proto += attribute(3, dport.to_bytes(2, "big"))
    return attribute(1 | 0x8000, addresses) + attribute(2 | 0x8000, proto)


def message(number: int = 17, v6: bool = False) -> bytes:
    client, vip, pod = (
        ("fd00::5", "fd00::10", "fd01::9") if v6 else ("10.244.1.5", "10.96.0.10", "10.244.2.9")
    )
    original = tuple_of(client, vip, number, 40000, 53)
    reply = tuple_of(pod, client, number, 5353, 40000)
    return attribute(1 | 0x8000, original) + attribute(2 | 0x8000, reply)


def test_parse_both_families() -> None:
    entry = parse_entry(message())
    assert entry == Entry("udp", "10.244.1.5", "10.96.0.10", 40000, 53, "10.244.2.9", 5353)
    assert entry.tuple_attribute == attribute(
        1 | 0x8000, tuple_of("10.244.1.5", "10.96.0.10", 17, 40000, 53)
    )
    six = parse_entry(message(v6=True))
    assert six is not None and six.destination == "fd00::10"
    assert parse_entry(message(number=1)) is None


ENTRY = Entry("udp", "10.244.1.5", "10.96.0.10", 40000, 53, "10.244.2.9", 5353)
HERE = frozenset({"172.30.0.2"})


def served(*endpoints: tuple[str, int]) -> Served:
    return Served({("10.96.0.10", 53): frozenset(endpoints)}, {30053: frozenset(endpoints)})


def test_served_by_the_same_endpoint_stays() -> None:
    assert stale([ENTRY], served(("10.244.2.9", 5353)), HERE) == []


def test_served_by_another_or_by_none_goes() -> None:
    assert stale([ENTRY], served(("10.244.1.1", 5353)), HERE) == [ENTRY]
    assert stale([ENTRY], served(), HERE) == [ENTRY]
    other_port = served(("10.244.2.9", 5454))
    assert stale([ENTRY], other_port, HERE) == [ENTRY]


def test_tcp_and_strangers_stay() -> None:
    tcp = replace(ENTRY, protocol="tcp")
    stranger = replace(ENTRY, destination="192.0.2.1")
    assert stale([tcp, stranger], served(), HERE) == []


def test_node_ports_count_on_the_nodes_own_addresses() -> None:
    mine = replace(ENTRY, destination="172.30.0.2", destination_port=30053)
    other = replace(mine, destination="172.30.0.3")
    assert stale([mine, other], served(), HERE) == [mine]


NOTHING_BEFORE = Served({}, {})
A, B = ("10.244.2.9", 5353), ("10.244.2.10", 5353)


def test_only_endpoints_that_serve_no_longer_are_looked_for() -> None:
    assert looks(served(A, B), served(B), HERE) == {Look(A, answered=True)}
    assert looks(served(A, B), served(), HERE) == {Look(A, answered=True), Look(B, answered=True)}
    assert looks(served(A), served(A, B), HERE) == frozenset()


def test_where_nothing_is_known_to_have_served_all_is_looked_at() -> None:
    everywhere = {
        Look(("10.96.0.10", 53), answered=False),
        Look(("172.30.0.2", 30053), answered=False),
    }
    assert looks(NOTHING_BEFORE, served(A), HERE) == everywhere
    assert looks(served(), served(A), HERE) == everywhere


def test_one_place_keeps_what_another_lost() -> None:
    """The same endpoint still serves a second Service: its entry for the first one goes."""
    other = ("10.96.0.11", 53)
    former = Served({("10.96.0.10", 53): frozenset({A}), other: frozenset({A})}, {})
    now = Served({("10.96.0.10", 53): frozenset(), other: frozenset({A})}, {})
    assert looks(former, now, HERE) == {Look(A, answered=True)}
    kept = replace(ENTRY, destination="10.96.0.11")
    assert stale([ENTRY, kept], now, HERE) == [ENTRY]


def test_a_look_is_a_tuple_and_which_parts_of_it_count() -> None:
    answered = Look(("10.244.2.9", 5353), answered=True).attributes()
    address = attribute(1 | 0x8000, attribute(1, bytes([10, 244, 2, 9])))
    proto = attribute(2 | 0x8000, attribute(1, bytes([17])) + attribute(2, b"\x14\xe9"))
    assert answered.startswith(attribute(2 | 0x8000, address + proto))
    assert answered.endswith(attribute(25 | 0x8000, attribute(2, struct.pack("=I", 0b011001))))
    sent = Look(("fd00::10", 53), answered=False).attributes()
    proto = attribute(2 | 0x8000, attribute(1, bytes([17])) + attribute(3, b"\0\x35"))
    assert sent.startswith(attribute(1 | 0x8000, proto))
    assert sent.endswith(attribute(25 | 0x8000, attribute(1, struct.pack("=I", 0b101000))))
