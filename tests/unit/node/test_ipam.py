from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.errors import DataplaneError
from netemu.node.ipam import HostLocal


def test_from_two_on_and_the_gateway_is_one() -> None:
    subnet = HostLocal("node-1", "10.244.1.0/24")
    assert subnet.gateway == "10.244.1.1"
    assert [subnet.allocate(owner) for owner in "abc"] == [
        "10.244.1.2",
        "10.244.1.3",
        "10.244.1.4",
    ]


def test_a_freed_address_is_the_last_to_return() -> None:
    subnet = HostLocal("node-1", "10.244.1.0/29")
    assert [subnet.allocate(owner) for owner in "abcde"][-1] == "10.244.1.6"
    subnet.release("a")
    subnet.release("c")
    assert subnet.allocate("f") == "10.244.1.2"
    assert subnet.allocate("g") == "10.244.1.4"


def test_round_robin_goes_on_after_a_release() -> None:
    subnet = HostLocal("node-1", "10.244.1.0/24")
    subnet.allocate("a")
    subnet.release("a")
    assert subnet.allocate("b") == "10.244.1.3"


def test_one_owner_one_address() -> None:
    subnet = HostLocal("node-1", "10.244.1.0/24")
    assert subnet.allocate("a") == subnet.allocate("a")


def test_full() -> None:
    subnet = HostLocal("node-1", "10.244.1.0/30")
    subnet.allocate("a")
    with pytest.raises(DataplaneError) as caught:
        subnet.allocate("b")
    assert str(caught.value) == (
        "node-1: allocate for pod b: no IP addresses available in range set: 10.244.1.1-10.244.1.2"
    )


def test_reserved_addresses_are_not_given_and_the_count_goes_on() -> None:
    subnet = HostLocal("node-1", "10.244.1.0/24")
    subnet.reserve("old", "10.244.1.77")
    assert subnet.allocate("new") == "10.244.1.78"


def test_releasing_an_unknown_owner_is_fine() -> None:
    HostLocal("node-1", "10.244.1.0/24").release("nobody")


def test_ipv6() -> None:
    subnet = HostLocal("node-1", "fd00:10:244:1::/64")
    assert subnet.gateway == "fd00:10:244:1::1"
    assert subnet.allocate("a") == "fd00:10:244:1::2"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_no_address_belongs_to_two(steps: list[tuple[bool, int]]) -> None:
    subnet = HostLocal("node-1", "10.0.0.0/28")
    given_out: dict[str, str] = {}
    for adds, number in steps:
        owner = f"o{number}"
        if adds:
            given_out[owner] = subnet.allocate(owner)
        else:
            subnet.release(owner)
            given_out.pop(owner, None)
        assert len(set(given_out.values())) == len(given_out)
        assert not {"10.0.0.0", "10.0.0.1", "10.0.0.15"} & set(given_out.values())
        assert subnet.free == 13 - len(given_out)
