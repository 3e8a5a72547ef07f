"""Requests taken apart again: what the kernel would read."""

from __future__ import annotations

import socket
import struct

import pytest

from netemu.node import inet_messages as inet
from netemu.node import netlink as nl


def v4(address: str) -> bytes:
    return socket.inet_aton(address)


def v6(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


def test_address() -> None:
    message = inet.add_address(5, "10.244.0.1/24")
    assert struct.unpack_from("=HH", message, 4) == (nl.RTM_NEWADDR, 0x501)
    assert struct.unpack_from("=BBBBi", message, 16) == (socket.AF_INET, 24, 0, 0, 5)
    assert nl.attributes_of(message, 24) == {
        1: v4("10.244.0.1"),
        2: v4("10.244.0.1"),
        8: struct.pack("=I", 0),
    }


@pytest.mark.parametrize(
    ("cidr", "prefix_route", "flags"),
    [("fd00::1/64", True, 2), ("fd00::1/64", False, 0x202), ("10.0.0.1/8", False, 0x200)],
)
def test_address_flags(cidr: str, prefix_route: bool, flags: int) -> None:
    message = inet.add_address(5, cidr, prefix_route=prefix_route)
    assert nl.attributes_of(message, 24)[8] == struct.pack("=I", flags)


@pytest.mark.parametrize(
    ("message", "header", "attributes"),
    [
        (
            inet.add_route("10.244.1.0/24", 6, gateway="10.244.1.0", onlink=True),
            (socket.AF_INET, 24, 0, 1, 4),
            {1: v4("10.244.1.0"), 5: v4("10.244.1.0")},
        ),
        (
            inet.add_route("0.0.0.0/0", 6, gateway="10.0.0.1"),
            (socket.AF_INET, 0, 0, 1, 0),
            {5: v4("10.0.0.1")},
        ),
        (
            inet.add_route("172.30.0.0/24", 6),
            (socket.AF_INET, 24, 253, 1, 0),
            {1: v4("172.30.0.0")},
        ),
        (
            inet.add_route("::/0", 6, gateway="fd00::1", source="fd00::2"),
            (socket.AF_INET6, 0, 0, 1, 0),
            {5: v6("fd00::1"), 7: v6("fd00::2")},
        ),
        (inet.add_route("fd00::/64", 6), (socket.AF_INET6, 64, 0, 1, 0), {1: v6("fd00::")}),
    ],
    ids=["onlink", "default", "link scope", "IPv6 with source", "IPv6 has no link scope"],
)
def test_route(message: bytes, header: tuple[int, ...], attributes: dict[int, bytes]) -> None:
    family, length, _, _, table, _, scope, kind, flags = struct.unpack_from(
        "=BBBBBBBBI", message, 16
    )
    assert (family, length, scope, kind, flags) == header
    assert table == 254
    assert nl.attributes_of(message, 28) == {**attributes, 4: struct.pack("=I", 6)}


def neighbour(message: bytes) -> tuple[int, ...]:
    """(family, index, state, flags)."""
    family, index, state, flags, _ = struct.unpack_from("=BxxxiHBB", message, 16)
    return family, index, state, flags


def test_neighbour_is_permanent() -> None:
    message = inet.add_neighbour(5, "10.244.0.2", "0a:58:0a:f4:00:02")
    assert neighbour(message) == (socket.AF_INET, 5, 0x80, 0)
    assert nl.attributes_of(message, 28) == {
        1: v4("10.244.0.2"),
        2: bytes.fromhex("0a580af40002"),
    }


def test_tunnel_entry_is_the_devices_own() -> None:
    message = inet.add_tunnel_entry(6, "02:00:00:00:00:02", "172.30.0.3")
    family, index, state, flags = neighbour(message)
    assert (family, index, flags) == (socket.AF_BRIDGE, 6, inet.NTF_SELF)
    assert state & inet.NUD_PERMANENT
    assert nl.attributes_of(message, 28)[1] == v4("172.30.0.3")


def test_port_entry_is_static_and_not_the_bridges_own() -> None:
    message = inet.add_port_entry(16, "0a:58:0a:f4:00:02")
    assert neighbour(message) == (socket.AF_BRIDGE, 16, inet.NUD_NOARP, inet.NTF_MASTER)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (inet.delete_address(5, "10.0.0.1/8"), nl.RTM_DELADDR),
        (inet.delete_route("10.0.0.0/8", 5), nl.RTM_DELROUTE),
        (inet.delete_neighbour(5, "10.0.0.1"), nl.RTM_DELNEIGH),
        (inet.delete_tunnel_entry(5, "02:00:00:00:00:02", "10.0.0.1"), nl.RTM_DELNEIGH),
    ],
)
def test_deletions(message: bytes, kind: int) -> None:
    assert struct.unpack_from("=HH", message, 4) == (kind, 1)


def test_a_placeholder_is_never_preferred() -> None:
    message = inet.add_placeholder(5, "fd00::10")
    assert struct.unpack_from("=BBBBi", message, 16) == (socket.AF_INET6, 128, 0, 0, 5)
    preferred, valid, _, _ = struct.unpack("=IIII", nl.attributes_of(message, 24)[6])
    assert (preferred, valid) == (0, 0xFFFFFFFF)
    assert inet.add_placeholder(5, "10.96.0.10") == inet.add_address(5, "10.96.0.10/32")
