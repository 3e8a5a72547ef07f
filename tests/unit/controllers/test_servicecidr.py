"""ServiceCIDRs besides the cluster's own: Services get addresses of them, and keep them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from netemu.api import kinds
from netemu.config.cluster import ClusterConfig
from netemu.controllers.conditions import find
from netemu.controllers.servicecidr import FINALIZER, needed
from netemu.errors import ApiError

SMALL = ClusterConfig(service_subnets=("10.96.0.0/29",))
"""Six addresses; the API server's own Service has one."""


def cidr(name, *cidrs, **metadata):
    return {"metadata": {"name": name, **metadata}, "spec": {"cidrs": list(cidrs)}}


def address_of(service):
    return ip_address(service["spec"]["clusterIP"])


async def ready(cluster, name):
    """(status, reason) of the condition Ready."""
    found = await cluster.client.get(kinds.SERVICE_CIDRS, name)
    condition = find((found.get("status") or {}).get("conditions") or [], "Ready")
    return (condition["status"], condition["reason"]) if condition else None


async def gone(cluster, name):
    with pytest.raises(ApiError) as caught:
        await cluster.client.get(kinds.SERVICE_CIDRS, name)
    return caught.value.reason == "NotFound"


async def full(cluster, make, prefix):
    """Create Services until no address is left."""
    made = []
    while True:
        try:
            name = f"{prefix}{len(made)}"
            made.append(await cluster.client.create(kinds.SERVICES, make.service(name)))
        except ApiError as error:
            assert "range is full" in error.message
            return made


async def test_a_further_range_is_used_once_it_is_ready(start_cluster, make):
    async with start_cluster(config=SMALL, nodes=0) as cluster:
        client = cluster.client
        assert len(await full(cluster, make, "a")) == 5
        asked = make.service("asked", clusterIP="10.200.0.3")
        with pytest.raises(ApiError, match="range of valid IPs is 10.96.0.0/29"):
            await client.create(kinds.SERVICES, asked)
        await client.create(kinds.SERVICE_CIDRS, cidr("more", "10.200.0.0/29"))
        await cluster.settle()
        assert await ready(cluster, "more") == ("True", "")
        found = await client.get(kinds.SERVICE_CIDRS, "more")
        assert found["metadata"]["finalizers"] == [FINALIZER]
        assert address_of(await client.create(kinds.SERVICES, asked)) == ip_address("10.200.0.3")
        made = await full(cluster, make, "b")
        assert len({address_of(service) for service in made}) == 5
        assert all(address_of(service) in ip_network("10.200.0.0/29") for service in made)


async def test_a_range_in_use_stays_until_its_last_address_is_free(start_cluster, make):
    async with start_cluster(config=SMALL, nodes=0) as cluster:
        client = cluster.client
        await client.create(kinds.SERVICE_CIDRS, cidr("more", "10.200.0.0/29"))
        await cluster.settle()
        await client.create(kinds.SERVICES, make.service("s", clusterIP="10.200.0.3"))
        address = {"metadata": {"name": "10.200.0.4"}}
        parent = {"parentRef": {"group": "", "resource": "services", "name": "x"}}
        await client.create(kinds.IP_ADDRESSES, {**address, "spec": parent})
        await client.delete(kinds.SERVICE_CIDRS, "more")
        await cluster.settle()
        assert await ready(cluster, "more") == ("False", "Terminating")
        made = await full(cluster, make, "a")
        assert all(address_of(service) in ip_network("10.96.0.0/29") for service in made)
        label = {"metadata": {"labels": {"a": "b"}}}
        kept = await client.patch(kinds.SERVICES, "s", "default", label)
        assert kept["spec"]["clusterIP"] == "10.200.0.3"
        await client.delete(kinds.SERVICES, "s", "default")
        await cluster.settle()
        assert await ready(cluster, "more") == ("False", "Terminating")
        await client.delete(kinds.IP_ADDRESSES, "10.200.0.4")
        await cluster.settle()
        assert await gone(cluster, "more")


async def test_the_clusters_own_range_cannot_go(start_cluster, make):
    async with start_cluster(config=SMALL, nodes=0) as cluster:
        await cluster.settle()
        await cluster.client.delete(kinds.SERVICE_CIDRS, "kubernetes")
        await cluster.settle()
        assert await ready(cluster, "kubernetes") == ("False", "Terminating")


async def test_an_unused_range_goes_at_once(start_cluster):
    async with start_cluster(config=SMALL, nodes=0) as cluster:
        await cluster.client.create(kinds.SERVICE_CIDRS, cidr("more", "10.200.0.0/29"))
        await cluster.settle()
        await cluster.client.delete(kinds.SERVICE_CIDRS, "more")
        await cluster.settle()
        assert await gone(cluster, "more")


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("others", "addresses", "expected"),
    [
        ([], [], False),
        ([], ["10.1.0.5"], True),
        ([], ["10.2.0.5"], False),
        ([], ["fd00::5"], False),
        ([cidr("all", "10.0.0.0/8")], ["10.1.0.5"], False),
        ([cidr("all", "10.0.0.0/8", **GOING)], ["10.1.0.5"], True),
        ([cidr("half", "10.1.0.0/25")], ["10.1.0.5"], False),
        ([cidr("half", "10.1.0.0/25")], ["10.1.0.5", "10.1.0.200"], True),
        ([cidr("other", "fd00::/112")], ["10.1.0.5"], True),
    ],
)
def test_what_a_range_is_needed_for(others, addresses, expected):
    assert needed(cidr("gone", "10.1.0.0/24"), others, addresses) is expected
