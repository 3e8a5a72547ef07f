"""Against the kernel itself: listing one's own links needs no rights, changing them is refused."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.errors import DataplaneError
from netemu.node import netlink as nl
from netemu.node.link_messages import delete_link, set_link
from netemu.node.network_observe import observe_addresses, observe_links, observe_routes

NO_SUCH_LINK = 0x7FFFFFF0


@pytest.fixture
def own() -> Iterator[nl.NetlinkSocket]:
    sock = nl.NetlinkSocket("here")
    yield sock
    sock.close()


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40)))
def test_attributes_read_back(attributes: dict[int, bytes]) -> None:
    data = b"".join(nl.attribute(kind, payload) for kind, payload in attributes.items())
    assert len(data) % 4 == 0
    assert nl.attributes_of(data, 0) == attributes


@given(st.binary(max_size=60))
def test_garbage_is_no_error(data: bytes) -> None:
    nl.attributes_of(data, 0)


def test_scalars() -> None:
    assert nl.u8(4, 1) == struct.pack("=HHBxxx", 5, 4, 1)
    assert nl.u32(4, 9) == nl.attribute(4, struct.pack("=I", 9))
    assert nl.text(3, "lo") == nl.attribute(3, b"lo\0")
    assert nl.mac(1, "0a:58:00:00:00:01") == nl.attribute(1, bytes.fromhex("0a5800000001"))
    assert nl.packed("10.0.0.1") == bytes([10, 0, 0, 1])
    assert nl.family_of("::1") == socket.AF_INET6


def test_message_has_its_length() -> None:
    assert struct.unpack_from("=IHH", nl.message(16, 0x400, b"12345678")) == (24, 16, 0x401)


def test_links_of_this_machine(own: nl.NetlinkSocket) -> None:
    links = observe_links(own)
    assert set(links) == {name for _, name in socket.if_nameindex()}
    assert links["lo"].index == socket.if_nametoindex("lo")


def test_loopback_address(own: nl.NetlinkSocket) -> None:
    index = socket.if_nametoindex("lo")
    up = observe_links(own)["lo"].up
    found = {address.cidr for address in observe_addresses(own, {index: "lo"})}
    assert ("127.0.0.1/8" in found) == up


def test_no_kernel_routes(own: nl.NetlinkSocket) -> None:
    names = dict(socket.if_nameindex())
    assert all(route.device in names.values() for route in observe_routes(own, names))


def test_refusals_are_told_apart(own: nl.NetlinkSocket) -> None:
    """Unprivileged: not permitted; privileged: no such device. Either way each has its place."""
    expected = errno.ENODEV if os.geteuid() == 0 else errno.EPERM
    messages = [set_link(NO_SUCH_LINK + number, up=True) for number in range(3)]
    refused = own.try_all([*messages, delete_link(NO_SUCH_LINK)])
    assert [(each.message, each.operation, each.errno) for each in refused] == [
        (0, "change link", expected),
        (1, "change link", expected),
        (2, "change link", expected),
        (3, "delete link", expected),
    ]


def test_many_refusals_over_several_sends(own: nl.NetlinkSocket) -> None:
    refused = own.try_all([set_link(NO_SUCH_LINK, up=True)] * 2500)
    assert [each.message for each in refused] == list(range(2500))


def test_request_raises_what_is_not_ignored(own: nl.NetlinkSocket) -> None:
    message = set_link(NO_SUCH_LINK, up=True)
    own.request([message], ignore={errno.ENODEV, errno.EPERM})
    with pytest.raises(DataplaneError, match="here: change link: ") as caught:
        own.request([message])
    assert caught.value.errno in (errno.ENODEV, errno.EPERM)


def test_a_refused_dump_is_an_error(own: nl.NetlinkSocket) -> None:
    with pytest.raises(DataplaneError, match="here: list links"):
        own.dump(nl.RTM_GETLINK, b"\xff" * 16)
