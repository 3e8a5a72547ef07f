"""IPVS mode by itself: draining servers, addresses on kube-ipvs0, changes that touch one server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netemu.node import netns, netns_directory
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymodes import open_backend
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.model import Endpoint, NodeView, ServicePort

pytestmark = pytest.mark.needs("ipvs", "ipset", "dummy", "iptables")
RUN = Path("/run/netemu")
NAME = "ipvstest"
VIEW = NodeView(name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16")
PORT = ServicePort(namespace="d", name="s", cluster_ip="10.96.0.20", port=80)


@pytest.fixture
def path() -> Iterator[str]:
    """A node that holds two pods' addresses itself: what IPVS sends them stays here."""
    with netns_directory.machine_lock(RUN):
        netns_directory.prepare(RUN)
    netns.create(NAME).close()
    found = netns.path_of(NAME)
    for command in (
        "link set lo up",
        "link add d0 type dummy",
        "link set d0 up",
        "address add 10.244.1.5/32 dev d0",
        "address add 10.244.1.6/32 dev d0",
    ):
        netns.run_blocking(found, ["ip", *command.split()])
    yield found
    netns.delete(found)
    with netns_directory.machine_lock(RUN):
        netns_directory.give_back(RUN)


def services(*addresses: str) -> dict[str, tuple[Service, ...]]:
    endpoints = tuple(Endpoint(a, 8080, "node-1") for a in addresses)
    return {"d/s": (Service(PORT, Decision(endpoints, (), bool(endpoints))),)}


async def listing(path: str) -> str:
    return (await netns.run(path, ["ipvsadm", "-Ln"])).decode()


async def test_a_server_with_connections_drains(path: str) -> None:
    proxy = FamilyProxy(path, VIEW, open_backend("ipvs", path))
    await proxy.sync(services("10.244.1.5"))
    await netns.run(path, ["ipvsadm", "--set", "2", "2", "2"])
    listener = netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("10.244.1.5", 8080))
    listener.listen()
    client = netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM)
    client.settimeout(60)
    await asyncio.to_thread(client.connect, ("10.96.0.20", 80))
    await proxy.sync(services("10.244.1.6"))
    lines = (await listing(path)).split("\n")
    (drained,) = [line.split() for line in lines if "10.244.1.5:8080" in line]
    assert drained[3] == "0", "no new connections"
    assert any("10.244.1.6:8080" in line for line in lines)
    client.close()
    listener.close()
    async with asyncio.timeout(60):
        while "10.244.1.5:8080" in await listing(path):
            await proxy.backend.maintain()
            await asyncio.sleep(0.2)
    await proxy.backend.clean()
    proxy.close()


async def test_a_server_without_connections_goes_at_once(path: str) -> None:
    proxy = FamilyProxy(path, VIEW, open_backend("ipvs", path))
    await proxy.sync(services("10.244.1.5", "10.244.1.6"))
    await proxy.sync(services("10.244.1.6"))
    shown = await listing(path)
    assert "10.244.1.5:8080" not in shown and "10.244.1.6:8080" in shown
    await proxy.backend.clean()
    proxy.close()


async def test_an_entry_that_the_kernel_refuses_takes_its_service_alone(path: str) -> None:
    """ipset knows no prefix of length 0."""
    everyone = ServicePort(
        namespace="d",
        name="everyone",
        cluster_ip="10.96.0.21",
        port=80,
        load_balancer_ips=("192.0.2.1",),
        source_ranges=("0.0.0.0/0",),
    )
    proxy = FamilyProxy(path, VIEW, open_backend("ipvs", path))
    both = services("10.244.1.5")
    both["d/everyone"] = (Service(everyone, both["d/s"][0].endpoints),)
    await proxy.sync(both)
    assert proxy.left_out == {"d/everyone"}
    assert "10.96.0.20:80" in await listing(path) and "10.96.0.21" not in await listing(path)
    sets = (await netns.run(path, ["ipset", "save"])).decode()
    assert "TRIAL" not in sets and "10.96.0.21" not in sets
    await proxy.backend.clean()
    proxy.close()


async def test_addresses_come_and_go_with_their_services(path: str) -> None:
    proxy = FamilyProxy(path, VIEW, open_backend("ipvs", path))
    await proxy.sync(services("10.244.1.5"))
    shown = (await netns.run(path, ["ip", "address", "show", "dev", "kube-ipvs0"])).decode()
    assert "10.96.0.20/32" in shown and "state DOWN" in shown
    sets = (await netns.run(path, ["ipset", "save"])).decode()
    assert "add KUBE-CLUSTER-IP 10.96.0.20,tcp:80" in sets
    await proxy.sync({"d/s": ()})
    shown = (await netns.run(path, ["ip", "address", "show", "dev", "kube-ipvs0"])).decode()
    assert "10.96.0.20" not in shown
    assert "10.96.0.20" not in (await netns.run(path, ["ipset", "save"])).decode()
    await proxy.backend.clean()
    links = (await netns.run(path, ["ip", "link"])).decode()
    assert "kube-ipvs0" not in links
    assert await netns.run(path, ["ipset", "save"]) == b""
    assert "10.96" not in await listing(path)
    proxy.close()
