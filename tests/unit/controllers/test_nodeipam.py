"""Pod ranges for nodes."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import kinds
from netemu.config.cluster import ClusterConfig
from netemu.controllers.nodeipam import desired_cidrs, next_range


@pytest.mark.parametrize(
    ("subnet", "prefix", "used", "expected"),
    [
        ("10.244.0.0/16", 24, [], "10.244.0.0/24"),
        ("10.244.0.0/16", 24, ["10.244.0.0/24", "10.244.2.0/24"], "10.244.1.0/24"),
        ("10.244.0.0/16", 24, ["10.244.0.0/23"], "10.244.2.0/24"),
        ("10.244.0.0/24", 24, ["10.244.0.0/24"], None),
        ("fd00:10:244::/48", 64, ["fd00:10:244::/64"], "fd00:10:244:1::/64"),
        ("10.244.0.0/16", 24, ["fd00::/64"], "10.244.0.0/24"),
    ],
)
def test_next_range(subnet, prefix, used, expected):
    assert next_range(subnet, prefix, [ip_network(u) for u in used]) == expected


@given(st.lists(st.integers(20, 26), max_size=12))
def test_ranges_never_overlap(prefixes):
    used = []
    for prefix in prefixes:
        found = desired_cidrs(["10.0.0.0/18"], [prefix], used)
        if found is not None:
            new = ip_network(found[0])
            assert not any(new.overlaps(ip_network(other)) for other in used)
            used.append(found[0])


async def test_each_node_gets_its_own(cluster):
    await cluster.settle()
    nodes = (await cluster.client.list(kinds.NODES)).items
    assert [node["spec"]["podCIDR"] for node in nodes] == [
        "10.244.0.0/24",
        "10.244.1.0/24",
        "10.244.2.0/24",
    ]
    await cluster.client.delete(kinds.NODES, "node-2")
    await cluster.settle()
    await cluster.add_node("node-9")
    await cluster.settle()
    node = await cluster.client.get(kinds.NODES, "node-9")
    assert node["spec"]["podCIDRs"] == ["10.244.1.0/24"]


async def test_both_families_and_the_end_of_the_pool(start_cluster):
    config = ClusterConfig(pod_subnets=("10.0.0.0/23", "fd00::/63"))
    async with start_cluster(nodes=3, config=config) as cluster:
        await cluster.settle()
        nodes = (await cluster.client.list(kinds.NODES)).items
        assert nodes[0]["spec"]["podCIDRs"] == ["10.0.0.0/24", "fd00::/64"]
        assert "podCIDR" not in nodes[2].get("spec", {})
        events = (await cluster.client.list(kinds.EVENTS)).items
        assert "CIDRNotAvailable" in {event["reason"] for event in events}
