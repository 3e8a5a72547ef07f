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


def test_diff_and_parse_agree() -> None:
    old = {"a": made("a", "hash:ip", "10.0.0.1", "10.0.0.2")}
    new = {"a": made("a", "hash:ip", "10.0.0.2", "10.0.0.3"), "b": made("b", "bitmap:port", "5")}
    assert ipset.diff(old, new).splitlines() == [
        "del a 10.0.0.1",
        "add a 10.0.0.3",
        "create b bitmap:port range 0-65535",
        "add b 5",
    ]
    assert ipset.parse(ipset.render(new)) == new
    assert ipset.diff(new, new) == ""
    assert ipset.destroy(new) == "destroy a\ndestroy b\n"
