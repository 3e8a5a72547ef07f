"""When a new port of a bridge passes frames on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netemu.node import netns
from netemu.node.bare_namespaces import BareNamespaces
from netemu.node.bridge_ports import wait_forwarding
from netemu.node.link_messages import new_bridge, new_veth, set_link, settle_link
from netemu.node.netlink import NetlinkSocket
from netemu.node.network_observe import observe_forwarding, observe_links
from netemu.node.throwaway import throwaway_namespace

pytestmark = pytest.mark.netns

BRIDGE = 15
SETTLES = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 8)


@pytest.fixture
def kept() -> Iterator[list[int]]:
    """Descriptors of the namespaces plugged in: a pair goes with the first of its two."""
    descriptors: list[int] = []
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.fixture
def node() -> Iterator[NetlinkSocket]:
    """In a namespace with a bridge."""
    with throwaway_namespace() as path:
        netlink = netns.netlink_in(path)
        mac = "0a:58:0a:f4:00:01"
        netlink.request([new_bridge(name="cni0", mtu=1450, address=mac, index=BRIDGE)])
        yield netlink
        netlink.close()


def plug(node: NetlinkSocket, namespaces: BareNamespaces, index: int, kept: list[int]) -> None:
    for bare in namespaces.take(1):
        pair = new_veth(
            name=f"veth{index}",
            index=index,
            mtu=1450,
            master=BRIDGE,
            peer="eth0",
            peer_namespace=bare.descriptor,
            peer_index=99,
            peer_mac=f"0a:58:0a:f4:00:{index}",
        )
        node.request([pair])
        bare.netlink.request([set_link(observe_links(bare.netlink)["eth0"].index, up=True)])
        node.request([settle_link(index)])
        bare.netlink.close()
        kept.append(bare.descriptor)


@pytest.mark.skipif(not SETTLES, reason="asking for a link settles it since Linux 6.8")
def test_a_port_that_was_settled_forwards_at_once(node: NetlinkSocket, kept: list[int]) -> None:
    with BareNamespaces() as namespaces:
        for index in range(20, 40):
            plug(node, namespaces, index, kept)
            assert index in observe_forwarding(node)


def test_on_any_kernel_it_comes_to_forward(node: NetlinkSocket, kept: list[int]) -> None:
    with BareNamespaces() as namespaces:
        plug(node, namespaces, 20, kept)
        assert wait_forwarding(node, BRIDGE, [20], patience=60) == set()
