"""Addresses for Services of type LoadBalancer."""

from __future__ import annotations

import pytest

from netemu.api import kinds
from netemu.config.cluster import ClusterConfig
from netemu.controllers.loadbalancer import choose


@pytest.mark.parametrize(
    ("taken", "wanted", "expected"),
    [
        ([], "", "172.31.0.1"),
        (["172.31.0.1"], "", "172.31.0.2"),
        (["172.31.0.1", "172.31.0.2"], "", None),
        ([], "172.31.0.2", "172.31.0.2"),
        (["172.31.0.2"], "172.31.0.2", None),
        ([], "10.0.0.1", None),
        ([], "no address", None),
        ([], "fd00::1", None),
    ],
)
def test_choose(taken, wanted, expected):
    assert choose("172.31.0.0/30", taken, wanted) == expected


async def test_addresses_come_and_go(start_cluster, make):
    config = ClusterConfig(load_balancer_pool="172.31.0.0/30")

    async def ingress(cluster, name):
        found = await cluster.client.get(kinds.SERVICES, name, "default")
        return [i["ip"] for i in found.get("status", {}).get("loadBalancer", {}).get("ingress", ())]

    async with start_cluster(config=config) as cluster:
        for name in ("a", "b", "c"):
            await cluster.client.create(kinds.SERVICES, make.service(name, type="LoadBalancer"))
            await cluster.settle()
        assert await ingress(cluster, "a") == ["172.31.0.1"]
        assert await ingress(cluster, "b") == ["172.31.0.2"]
        assert await ingress(cluster, "c") == []
        await cluster.client.delete(kinds.SERVICES, "a", "default")
        await cluster.settle()
        assert await ingress(cluster, "c") == ["172.31.0.1"]
        patch = {"spec": {"type": "ClusterIP"}}
        await cluster.client.patch(kinds.SERVICES, "b", "default", patch)
        await cluster.settle()
        assert await ingress(cluster, "b") == []
