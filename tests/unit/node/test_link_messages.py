"""Requests taken apart again: what the kernel would read."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netemu.node import link_messages as links
from netemu.node import netlink as nl


def read(message: bytes) -> tuple[int, int, dict[str, Any], dict[int, bytes]]:
    """(type, flags, fields of ifinfomsg, attributes)."""
    length, kind, flags = struct.unpack_from("=IHH", message)
    assert length == len(message)
    family, index, up, change = struct.unpack_from("=BxxxiII", message, 16)
    fields = {"family": family, "index": index, "up": up, "change": change}
    return kind, flags, fields, nl.attributes_of(message, 32)


def test_a_veth_has_its_peer_born_elsewhere_and_down() -> None:
    message = links.new_veth(
        name="veth1",
        index=16,
        mtu=1450,
        master=5,
        peer="eth0",
        peer_namespace=9,
        peer_index=2,
        peer_mac="0a:58:0a:f4:00:02",
    )
    kind, flags, fields, found = read(message)
    assert (kind, flags) == (nl.RTM_NEWLINK, 0x601)
    assert fields == {"family": 0, "index": 16, "up": 1, "change": 1}
    assert found[3] == b"veth1\0"
    assert found[10] == struct.pack("=I", 5)
    info = nl.attributes_of(found[18], 0)
    assert info[1] == b"veth\0"
    peer = nl.attributes_of(info[2], 0)[1]
    assert struct.unpack_from("=BxxxiII", peer) == (0, 2, 0, 0)
    inside = nl.attributes_of(peer, 16)
    assert inside[3] == b"eth0\0"
    assert inside[1] == bytes.fromhex("0a580af40002")
    assert inside[28] == struct.pack("=I", 9)


def test_a_bridge_does_not_snoop() -> None:
    _, _, fields, found = read(
        links.new_bridge(name="cni0", mtu=1450, address="0a:58:0a:f4:00:01", index=5)
    )
    assert fields["index"] == 5
    info = nl.attributes_of(found[18], 0)
    assert info[1] == b"bridge\0"
    assert nl.attributes_of(info[2], 0)[23] == b"\0"


def test_a_vxlan_is_flannels() -> None:
    message = links.new_vxlan(
        name="flannel.1",
        vni=1,
        port=8472,
        local="172.30.0.2",
        device=2,
        mtu=1450,
        address="02:00:00:00:00:01",
    )
    options = nl.attributes_of(nl.attributes_of(read(message)[3][18], 0)[2], 0)
    assert options == {
        1: struct.pack("=I", 1),
        3: struct.pack("=I", 2),
        4: socket.inet_aton("172.30.0.2"),
        7: b"\0",
        15: struct.pack(">H", 8472),
    }


def test_an_ipv6_vxlan_has_an_ipv6_source() -> None:
    message = links.new_vxlan(
        name="f",
        vni=1,
        port=8472,
        local="fd00::2",
        device=2,
        mtu=1430,
        address="02:00:00:00:00:01",
    )
    options = nl.attributes_of(nl.attributes_of(read(message)[3][18], 0)[2], 0)
    assert options[17] == socket.inet_pton(socket.AF_INET6, "fd00::2")
    assert 4 not in options


def test_set_link_changes_only_what_is_said() -> None:
    kind, _, fields, found = read(links.set_link(7))
    assert kind == nl.RTM_SETLINK
    assert fields == {"family": 0, "index": 7, "up": 0, "change": 0}
    assert found == {}
    _, _, fields, found = read(links.set_link(7, up=False, mtu=9000, group=3, master=5))
    assert (fields["up"], fields["change"]) == (0, 1)
    assert found == {
        4: struct.pack("=I", 9000),
        10: struct.pack("=I", 5),
        27: struct.pack("=I", 3),
    }


def test_no_link_local_address() -> None:
    found = read(links.set_link(2, link_local=False))[3]
    per_family = nl.attributes_of(found[26], 0)
    assert nl.attributes_of(per_family[socket.AF_INET6], 0) == {8: b"\1"}


def test_port_flags() -> None:
    _, _, fields, found = read(links.bridge_port(16, hairpin=True, answers_arp=True))
    assert (fields["family"], fields["index"]) == (socket.AF_BRIDGE, 16)
    assert nl.attributes_of(found[12], 0) == {4: b"\1", 12: b"\1"}


def test_deletions() -> None:
    assert read(links.delete_link(7))[:3] == (
        nl.RTM_DELLINK,
        1,
        {"family": 0, "index": 7, "up": 0, "change": 0},
    )
    kind, _, fields, found = read(links.delete_group(9))
    assert (kind, fields["index"], found) == (nl.RTM_DELLINK, 0, {27: struct.pack("=I", 9)})
