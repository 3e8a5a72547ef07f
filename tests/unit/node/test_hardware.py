from __future__ import annotations

from netemu.node.hardware import link_name, mac_of, random_like_mac, veth_name


def test_mac_of_an_address() -> None:
    assert mac_of("10.244.1.7") == "0a:58:0a:f4:01:07"
    assert mac_of("fd00::1:2") == "0a:58:00:01:00:02"


def test_random_like_is_local_unicast_and_the_same_again() -> None:
    macs = [random_like_mac("vtep", f"node-{n}") for n in range(200)]
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)
    assert len(set(macs)) == 200
    assert random_like_mac("a", "bc") != random_like_mac("ab", "c")
    assert random_like_mac("a") == random_like_mac("a")


def test_link_names_fit() -> None:
    assert link_name("node-1") == "node-1"
    assert link_name("exactly15chars_") == "exactly15chars_"
    long = [link_name(f"a-very-long-machine-name-{n}") for n in range(50)]
    assert all(len(name) == 15 for name in long)
    assert len(set(long)) == 50


def test_veth_names() -> None:
    name = veth_name("uid", 16)
    assert name.startswith("veth")
    assert len(name) == 12
    assert name != veth_name("uid", 17)
