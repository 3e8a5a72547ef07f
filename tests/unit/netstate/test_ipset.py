"""ipsets: membership as the kernel tells it, and the way from one state to another."""

from __future__ import annotations

from netemu.netstate import ipset
from netemu.netstate.ipset import SetValue


def made(name: str, kind: str, *entries: str) -> SetValue:
    return SetValue(name=name, kind=kind, entries=frozenset(entries))


def test_membership_of_each_kind() -> None:
    packet = ("10.244.1.5", "tcp", "10.96.0.1", 80)
    assert made("a", "hash:ip,port", "10.96.0.1,tcp:80").contains("dst,dst", *packet)
    assert not made("a", "hash:ip,port", "10.96.0.1,udp:80").contains("dst,dst", *packet)
    assert made("b", "bitmap:port", "80").contains("dst", *packet)
    assert made("c", "hash:ip", "10.244.1.5").contains("src", *packet)
    net = made("d", "hash:ip,port,net", "10.96.0.1,tcp:80,10.244.0.0/16")
    assert net.contains("dst,dst,src", *packet)
    loop = made("e", "hash:ip,port,ip", "10.96.0.1,tcp:80,10.244.1.6")
    assert not loop.contains("dst,dst,src", *packet)


def test_the_way_from_one_state_to_another() -> None:
    old = {"a": made("a", "hash:ip", "10.0.0.1", "10.0.0.2"), "gone": made("gone", "hash:ip")}
    new = {"a": made("a", "hash:ip", "10.0.0.2", "10.0.0.3"), "b": made("b", "bitmap:port", "5")}
    assert [command.text for command in ipset.diff(old, new)] == [
        "ipset del a 10.0.0.1",
        "ipset add a 10.0.0.3",
        "ipset create b bitmap:port",
        "ipset add b 5",
    ]
    assert ipset.diff(new, new) == []
