"""iptables texts: rendered, parsed back, jumps found."""

from __future__ import annotations

from netemu.netstate.iptables import Jump, Restore, jump_target, missing_jumps, parse, rule_count

JUMP = Jump("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals")


def test_render_makes_inserts_fills_and_deletes_in_order() -> None:
    restore = Restore(
        tables={"nat": {"A": ["-j B"], "B": []}},
        inserts=[JUMP, Jump("nat", "PREROUTING", "OTHER")],
        remove_jumps=[("nat", "OUTPUT", "-j OLD")],
        deletes={"nat": ["OLD"]},
    )
    assert restore.render().splitlines() == [
        "*nat",
        ":A - [0:0]",
        ":B - [0:0]",
        ":OLD - [0:0]",
        "-D OUTPUT -j OLD",
        "-I PREROUTING -j OTHER",
        '-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-A A -j B",
        "-X OLD",
        "COMMIT",
    ]


def test_parse_takes_saved_text_with_and_without_counters() -> None:
    saved = "# x\n*nat\n:A - [3:4]\n[1:2] -A A -j B\n-A A -j C\n-I A -j Z\nCOMMIT\n"
    tables = parse(saved)
    assert tables == {"nat": {"A": ["-j Z", "-j B", "-j C"]}}
    assert rule_count(tables) == 3


def test_jump_target_is_the_last_jump() -> None:
    assert jump_target('-m comment --comment "-j X" -j KUBE-SVC-1') == "KUBE-SVC-1"
    assert jump_target("-g FW") == "FW"
    assert jump_target("-m comment --comment nothing") == ""


def test_missing_jumps_are_those_whose_target_is_not_reached() -> None:
    assert missing_jumps({}, [JUMP]) == [JUMP]
    assert missing_jumps({"nat": {"PREROUTING": [JUMP.rule]}}, [JUMP]) == []
