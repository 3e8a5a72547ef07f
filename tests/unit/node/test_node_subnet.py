from __future__ import annotations

import pytest

from netemu.errors import ConfigError
from netemu.node import node_subnet


def test_choose_the_first_free() -> None:
    assert node_subnet.choose([]) == "172.30.0.0/24"
    assert node_subnet.choose(["172.30.0.0/24", "10.0.0.0/8"]) == "172.30.1.0/24"


def test_a_larger_network_covers_many() -> None:
    assert node_subnet.choose(["172.30.0.0/23", "172.30.2.7/32"]) == "172.30.3.0/24"


def test_the_default_route_covers_none() -> None:
    assert node_subnet.choose(["0.0.0.0/0", "::/0"]) == "172.30.0.0/24"


def test_none_free() -> None:
    with pytest.raises(ConfigError, match=r"no free 172\.30\.N\.0/24"):
        node_subnet.choose(["172.16.0.0/12"])


def test_addresses() -> None:
    assert node_subnet.machine_address("172.30.4.0/24") == "172.30.4.1"
    assert node_subnet.router_address("172.30.4.0/24") == "172.30.4.254"
    assert node_subnet.next_address("172.30.4.0/24", {}) == "172.30.4.2"
    assert node_subnet.next_address("172.30.4.0/24", {"172.30.4.2"}) == "172.30.4.3"


def test_a_full_network() -> None:
    assert node_subnet.next_address("10.0.0.0/29", {"10.0.0.2", "10.0.0.3"}) == "10.0.0.4"
    with pytest.raises(ConfigError, match="has no free address"):
        node_subnet.next_address("10.0.0.0/29", {f"10.0.0.{n}" for n in range(2, 6)})


def test_ipv6_spells_ipv4() -> None:
    assert node_subnet.ipv6_network("172.30.4.0/24") == "fd00:172:30:4::/64"
    assert node_subnet.ipv6_address("172.30.4.0/24", "172.30.4.9") == "fd00:172:30:4::9"


def test_ipv6_of_an_address_of_elsewhere_is_its_own() -> None:
    first = node_subnet.ipv6_address("172.30.4.0/24", "192.0.2.10")
    assert first == "fd00:172:30:4::c000:20a"


def test_contains() -> None:
    assert node_subnet.contains("172.30.4.0/24", "172.30.4.254")
    assert not node_subnet.contains("172.30.4.0/24", "172.30.5.1")
