"""ipset requests and listings as bytes, against what the program ipset and the kernel exchange."""

from __future__ import annotations

import struct

import pytest

from netemu.netstate import ipsetwire
from netemu.netstate.conntrack import attribute, attributes
from netemu.netstate.ipset import Command, SetValue

KINDS = {
    "bitmap:port": ("30080",),
    "hash:ip": ("10.96.0.1", "fd00::1"),
    "hash:ip,port": ("10.96.0.1,tcp:80", "10.96.0.1,udp:53", "fd00::1,sctp:36412"),
    "hash:ip,port,ip": ("10.244.1.5,tcp:8080,10.244.1.5", "fd00::1,udp:53,fd00::2"),
    "hash:ip,port,net": ("192.0.2.1,tcp:80,10.0.0.0/8", "fd00::1,tcp:80,fd01::/64"),
}
ENTRIES = [(kind, entry) for kind, entries in KINDS.items() for entry in entries]


def body_of(command: Command) -> dict[int, bytes]:
    return dict(attributes(ipsetwire.encode(command)[20:]))


def test_an_entry_as_the_program_sends_it() -> None:
    command = Command("add", "KUBE-CLUSTER-IP", "hash:ip,port", 4, "10.96.0.1,tcp:80")
    message = ipsetwire.encode(command)
    assert struct.unpack_from("=IHH", message) == (len(message), (6 << 8) | 9, 1)
    assert (
        message[20:]
        == bytes.fromhex(
            "0500010006000000"  # protocol 6
            "140002004b5542452d434c55535445522d495000"  # the set's name
            "200007800c00018008000140" + "0a600001"  # the address, in network order
            "0600044000500000"  # port 80
            "0500070006000000"  # TCP
        )
    )


def test_a_set_is_made_with_the_programs_own_sizes() -> None:
    made = body_of(Command("create", "a", "hash:ip,port", 6))
    assert made[3] == b"hash:ip,port\0" and made[5] == b"\x0a"
    assert dict(attributes(made[7])) == {18: b"\0\0\4\0", 19: b"\0\1\0\0"}
    ports = body_of(Command("create", "b", "bitmap:port"))
    assert ports[5] == b"\0" and dict(attributes(ports[7])) == {4: b"\0\0", 5: b"\xff\xff"}


def test_a_set_that_goes_is_named_and_nothing_else() -> None:
    assert body_of(Command("destroy", "a", "")) == {1: b"\6", 2: b"a\0"}


@pytest.mark.parametrize(("kind", "entry"), ENTRIES)
def test_what_is_written_is_read_back(kind: str, entry: str) -> None:
    family = 6 if ":" in entry.partition(",")[0] else 4
    head = ipsetwire.encode(Command("create", "a", kind, family))[16:]
    written = body_of(Command("add", "a", kind, family, entry))[7]
    listed = head + attribute(8 | 0x8000, attribute(7 | 0x8000, written))
    expected = SetValue(name="a", kind=kind, family=family, entries=frozenset({entry}))
    assert ipsetwire.parse_listing([listed]) == {"a": expected}


def test_a_large_set_is_listed_in_several_messages() -> None:
    head = ipsetwire.encode(Command("create", "a", "hash:ip"))[16:]
    parts = []
    for start, entry in ((head, "10.0.0.1"), (ipsetwire._head("a", 4), "10.0.0.2")):
        data = body_of(Command("add", "a", "hash:ip", 4, entry))[7]
        parts.append(start + attribute(8 | 0x8000, attribute(7 | 0x8000, data)))
    assert ipsetwire.parse_listing(parts)["a"].entries == {"10.0.0.1", "10.0.0.2"}
