"""nftables values: rendering, differences, the parsed rule, and its bytes."""

from __future__ import annotations

import struct

import pytest

from netemu.netstate import nftparse, nftrule
from netemu.netstate.nftables import Chain, Delta, NftSet, Table, diff, render
from netemu.netstate.nfwire import encode_delta, encode_key, encode_table

TABLE = Table(
    family="ip",
    name="t",
    chains={"c": Chain(rules=("accept",)), "b": Chain(kind="nat", hook="output", priority=-100)},
    sets={"m": NftSet(key="ipv4_addr", value="verdict", elements={"10.0.0.1": "goto c"})},
)


def test_render_starts_from_nothing() -> None:
    assert render(TABLE).splitlines() == [
        "add table ip t",
        "delete table ip t",
        "add table ip t",
        "add chain ip t c",
        "add chain ip t b { type nat hook output priority -100 ; }",
        "add map ip t m { type ipv4_addr : verdict ; }",
        "add element ip t m { 10.0.0.1 : goto c }",
        "add rule ip t c accept",
    ]


def test_diff_of_elements_and_chains() -> None:
    new = Table(
        family="ip",
        name="t",
        chains={"c": Chain(rules=("drop",)), "d": Chain()},
        sets={"m": NftSet(key="ipv4_addr", value="verdict", elements={"10.0.0.2": "drop"})},
    )
    delta = diff(TABLE, new)
    assert set(delta.chains) == {"c", "d"} and delta.dropped_chains == ["b"]
    assert delta.removed == {"m": ["10.0.0.1"]} and delta.added == {"m": {"10.0.0.2": "drop"}}
    assert not diff(TABLE, TABLE) and not Delta()


def test_a_rule_is_parsed_into_operations() -> None:
    parsed = nftparse.parse("ip saddr != { 10.0.0.0/8, 1.2.3.4 } meta mark set meta mark | 0x4000")
    match, mark = parsed.operations
    assert match == nftrule.Match((nftrule.Field("saddr"),), ("10.0.0.0/8", "1.2.3.4"), "", True)
    assert mark == nftrule.MarkSet("|", 0x4000)
    assert nftparse.parse('goto x comment "why so"').comment == "why so"


@pytest.mark.parametrize(
    "text", ["iif lo accept", "meta l4proto tcp dnat to x map {", "frobnicate"]
)
def test_what_it_does_not_know_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        nftparse.parse(text)


def test_keys_fill_whole_registers() -> None:
    key = encode_key("ipv4_addr . inet_proto . inet_service", "10.96.0.1 . tcp . 80")
    assert key == bytes([10, 96, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0])


def _messages(batch: bytes) -> list[int]:
    kinds, at = [], 0
    while at < len(batch):
        length, kind = struct.unpack_from("=IH", batch, at)
        kinds.append(kind & 0xFF)
        at += length
    assert at == len(batch)
    return kinds


def test_a_table_is_one_batch() -> None:
    kinds = _messages(encode_table(TABLE))
    assert kinds[0] == 16 and kinds[-1] == 17
    assert kinds[1:-1] == [0, 2, 0, 3, 3, 9, 6, 12]


def test_a_change_is_as_small_as_what_changes() -> None:
    delta = Delta(added={"m": {"10.0.0.9": "drop"}}, removed={"m": ["10.0.0.1"]})
    assert _messages(encode_delta(TABLE, delta, TABLE.sets)) == [16, 14, 12, 17]


def test_very_many_elements_go_in_several_messages() -> None:
    elements = {f"10.{i // 65536}.{i // 256 % 256}.{i % 256}": "" for i in range(5000)}
    big = Table(family="ip", name="t", sets={"s": NftSet(key="ipv4_addr", elements=elements)})
    assert _messages(encode_table(big)).count(12) > 1
