"""nodePortAddresses: which addresses take NodePorts, and where health checks are answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netemu.proxy import nodeports
from netemu.proxy.model import NodeView

NODE = NodeView(name="node-1", address="172.30.0.2", addresses=("172.30.0.2", "172.31.0.2"))
SIX = NodeView(name="node-1", family=6, address="fd00::2", addresses=("fd00::2",))


def test_each_mode_has_its_default() -> None:
    assert nodeports.addresses(NODE, "iptables") is None
    assert nodeports.addresses(NODE, "ipvs") is None
    assert nodeports.addresses(NODE, "nftables") == ("172.30.0.2",)
    assert nodeports.addresses(NODE, "flat") == ("172.30.0.2",)


@pytest.mark.parametrize("mode", ["iptables", "nftables", "flat", "ipvs"])
@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        (("172.31.0.0/16",), ("172.31.0.2",)),
        (("172.31.0.2/32", "127.0.0.0/8"), ("127.0.0.1", "172.31.0.2")),
        (("primary",), ("172.30.0.2",)),
        (("192.0.2.0/24",), ()),
        (("192.0.2.0/24", "0.0.0.0/0"), None),
    ],
)
def test_what_is_listed_serves(
    mode: str, setting: tuple[str, ...], wanted: tuple[str, ...] | None
) -> None:
    assert nodeports.addresses(replace(NODE, node_port_addresses=setting), mode) == wanted


def test_a_family_that_is_not_named_serves_everywhere() -> None:
    """NewNodePortAddresses adds its whole range."""
    setting = ("172.31.0.0/16",)
    assert nodeports.of_family(setting, 4) == setting
    assert nodeports.of_family(setting, 6) == ("::/0",)
    assert nodeports.of_family((), 6) == ()
    assert nodeports.of_family(("primary",), 6) == ("primary",)


def test_localhost_serves_where_it_is_among_the_addresses() -> None:
    assert nodeports.serves_localhost(NODE)
    assert not nodeports.serves_localhost(replace(NODE, localhost_node_ports=False))
    assert not nodeports.serves_localhost(replace(NODE, node_port_addresses=("172.31.0.0/16",)))
    assert nodeports.serves_localhost(replace(NODE, node_port_addresses=("127.0.0.0/8",)))
    assert nodeports.serves_localhost(replace(NODE, node_port_addresses=("0.0.0.0/0",)))
    assert not nodeports.serves_localhost(SIX)


def test_health_checks_are_answered_where_node_ports_are() -> None:
    some = replace(NODE, node_port_addresses=("172.31.0.0/16",))
    assert nodeports.listening([NODE], "iptables") == ("",)
    assert nodeports.listening([NODE, SIX], "ipvs") == ("",)
    assert nodeports.listening([NODE, SIX], "flat") == ("172.30.0.2", "fd00::2")
    assert nodeports.listening([some], "iptables") == ("172.31.0.2",)
    assert nodeports.listening([some, SIX], "iptables") == ("172.31.0.2", "::")
