"""The tracer by itself: order of hooks, all random outcomes, matched rules, unknown words."""

from __future__ import annotations

import pytest

from netemu.netstate.iptables import parse
from netemu.netstate.nftables import Chain, NftSet, Table
from netemu.netstate.packet import Host, Packet, is_in
from netemu.netstate.trace import trace
from netemu.netstate.trace.iptables import IptablesRules
from netemu.netstate.trace.nftables import NftRules

HOST = Host(addresses=frozenset({"172.30.0.2"}))
PACKET = Packet(source="10.244.1.5", destination="10.96.0.1", destination_port=80)


def iptables(text: str) -> IptablesRules:
    return IptablesRules(parse(text))


def test_every_random_outcome_once() -> None:
    rules = iptables(
        "*nat\n:PREROUTING A\n:S -\n-A PREROUTING -d 10.96.0.1/32 -j S\n"
        "-A S -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.1:1\n"
        "-A S -j DNAT --to-destination 10.0.0.2:2\n"
    )
    outcomes = trace(PACKET, [rules], HOST)
    assert [o.endpoint for o in outcomes] == ["10.0.0.1:1", "10.0.0.2:2"]
    assert outcomes[0].steps[0].where == "nat PREROUTING"
    assert outcomes[0].steps[-1].action == "dnat 10.0.0.1:1"


def test_marks_as_iptables_save_prints_them() -> None:
    rules = iptables(
        "*nat\n:PREROUTING A\n:POSTROUTING A\n:P -\n"
        "-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n"
        "-A POSTROUTING -j P\n"
        "-A P -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
        "-A P -j MARK --set-xmark 0x4000/0x0\n"
        "-A P -j MASQUERADE --random-fully\n"
    )
    (outcome,) = trace(PACKET, [rules], HOST)
    assert outcome.masqueraded and not outcome.translated


def test_established_packets_meet_no_nat() -> None:
    rules = iptables("*nat\n:PREROUTING A\n-A PREROUTING -j DNAT --to-destination 1.2.3.4:5\n")
    known = Packet(source="10.0.0.1", destination="10.0.0.2", state="ESTABLISHED")
    (outcome,) = trace(known, [rules], HOST)
    assert not outcome.translated


def test_invalid_is_dropped_where_a_rule_says_so() -> None:
    rules = iptables("*filter\n:FORWARD A\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n")
    lost = Packet(source="10.0.0.1", destination="10.0.0.2", state="INVALID")
    (outcome,) = trace(lost, [rules], HOST)
    assert outcome.verdict == "drop"


def test_local_destinations_meet_input_others_forward() -> None:
    rules = iptables("*filter\n:INPUT A\n:FORWARD A\n-A INPUT -j REJECT\n-A FORWARD -j DROP\n")
    local = Packet(source="10.0.0.1", destination="172.30.0.2")
    assert trace(local, [rules], HOST)[0].verdict == "reject"
    assert trace(PACKET, [rules], HOST)[0].verdict == "drop"
    assert trace(PACKET, [rules], HOST, from_node=True)[0].verdict == "accept"


def test_an_unknown_option_is_an_error_not_a_guess() -> None:
    rules = iptables("*filter\n:FORWARD A\n-A FORWARD -m tos --tos 8 -j DROP\n")
    with pytest.raises(ValueError, match="--tos"):
        trace(PACKET, [rules], HOST)


def test_nft_base_chains_run_by_priority_across_tables() -> None:
    late = Table(
        family="ip",
        name="late",
        chains={"c": Chain(kind="filter", hook="forward", priority=10, rules=("drop",))},
    )
    early = Table(
        family="ip",
        name="early",
        chains={"c": Chain(kind="filter", hook="forward", priority=-10, rules=("reject",))},
    )
    (outcome,) = trace(PACKET, [NftRules(late), NftRules(early)], HOST)
    assert outcome.verdict == "reject"


def test_nft_jump_returns_and_goto_does_not() -> None:
    def table(verb: str) -> Table:
        base = Chain(kind="filter", hook="forward", rules=(f"{verb} other", "drop"))
        return Table(family="ip", name="t", chains={"b": base, "other": Chain()})

    assert trace(PACKET, [NftRules(table("jump"))], HOST)[0].verdict == "drop"
    assert trace(PACKET, [NftRules(table("goto"))], HOST)[0].verdict == "accept"


def test_nft_numgen_plays_every_number() -> None:
    table = Table(
        family="ip",
        name="t",
        chains={
            "b": Chain(
                kind="nat",
                hook="prerouting",
                rules=(
                    "meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport ."
                    " numgen random mod 3 map @e",
                ),
            )
        },
        sets={
            "e": NftSet(
                key="…",
                value="…",
                elements={f"10.96.0.1 . tcp . 80 . {i}": f"10.0.0.{i} . 8" for i in range(3)},
            )
        },
    )
    outcomes = trace(PACKET, [NftRules(table)], HOST)
    assert [o.endpoint for o in outcomes] == ["10.0.0.0:8", "10.0.0.1:8", "10.0.0.2:8"]


def test_is_in() -> None:
    assert is_in("10.0.0.1", "10.0.0.0/8") and is_in("10.0.0.1", "10.0.0.1")
    assert not is_in("fd00::1", "10.0.0.0/8")
