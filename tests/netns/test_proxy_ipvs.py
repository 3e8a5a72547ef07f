"""IPVS mode by itself: draining servers, addresses on kube-ipvs0, changes that touch one server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netemu.netstate.ipvs import Servers
from netemu.node import netns, netns_directory
from netemu.node.ipset import IpsetSocket
from netemu.node.ipvssocket import IpvsSocket
from netemu.node.placeholders import Placeholders
from netemu.node.proxybackend import Change, in_order
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymodes import open_backend
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.ipvs import DEVICE, compile_ipvs
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


async def test_a_real_server_that_the_kernel_refuses_takes_its_service_alone(path: str) -> None:
    """Nobody can be sent to a broadcast address."""
    port = ServicePort(namespace="d", name="everyone", cluster_ip="10.96.0.21", port=80)
    endpoints = (Endpoint("10.244.1.6", 8080), Endpoint("255.255.255.255", 8080))
    proxy = FamilyProxy(path, VIEW, open_backend("ipvs", path))
    both = services("10.244.1.5")
    both["d/everyone"] = (Service(port, Decision(endpoints, (), True)),)
    await proxy.sync(both)
    assert proxy.left_out == {"d/everyone"}
    shown = await listing(path)
    assert "10.96.0.20:80" in shown and "10.96.0.21" not in shown and "255.255" not in shown
    sets = (await netns.run(path, ["ipset", "save"])).decode()
    assert "TRIAL" not in sets and "10.96.0.21" not in sets
    await proxy.backend.clean()
    proxy.close()


async def test_an_entry_that_the_kernel_refuses_takes_its_service_alone(path: str) -> None:
    """Sets of IPv4 hold no address of IPv6."""
    port = ServicePort(
        namespace="d",
        name="everyone",
        cluster_ip="10.96.0.21",
        port=80,
        load_balancer_ips=("2001:db8::1",),
    )
    proxy = FamilyProxy(path, VIEW, open_backend("ipvs", path))
    both = services("10.244.1.5")
    both["d/everyone"] = (Service(port, both["d/s"][0].endpoints),)
    await proxy.sync(both)
    assert proxy.left_out == {"d/everyone"}
    assert "10.96.0.20:80" in await listing(path) and "10.96.0.21" not in await listing(path)
    sets = (await netns.run(path, ["ipset", "save"])).decode()
    assert "TRIAL" not in sets and "10.96.0.21" not in sets
    await proxy.backend.clean()
    proxy.close()


async def test_a_load_balancer_for_every_source(path: str) -> None:
    """ipset knows no prefix of length 0."""
    port = ServicePort(
        namespace="d",
        name="everyone",
        cluster_ip="10.96.0.21",
        port=80,
        load_balancer_ips=("192.0.2.1",),
        source_ranges=("0.0.0.0/0",),
    )
    proxy = FamilyProxy(path, VIEW, open_backend("ipvs", path))
    await proxy.sync({"d/everyone": (Service(port, services("10.244.1.5")["d/s"][0].endpoints),)})
    assert not proxy.left_out
    for source in ("1.2.3.4", "203.0.113.9"):
        entry = f"192.0.2.1,tcp:80,{source}"
        argv = ["ipset", "test", "KUBE-LOAD-BALANCER-SOURCE-CIDR", entry]
        await netns.run(path, argv)  # fails when it is not in the set
    await proxy.backend.clean()
    proxy.close()


def mixed() -> dict[str, tuple[Service, ...]]:
    """Services of every kind, most with nothing but a ClusterIP."""
    kinds: list[dict[str, Any]] = [{}] * 12 + [
        {"node_port": 30080},
        {"external_ips": ("203.0.113.1",)},
        {"load_balancer_ips": ("203.0.113.2",), "source_ranges": ("192.0.2.0/24",)},
        {"affinity_seconds": 600},
        {"protocol": "udp", "internal_local": True},
    ]
    found = {}
    for n, kind in enumerate(kinds):
        port = ServicePort(
            **{"namespace": "d", "name": f"s{n}", "cluster_ip": f"10.96.1.{n}", "port": 80, **kind}
        )
        nodes = ["node-1", "node-2", ""][: n % 4]
        ends = tuple(Endpoint(f"10.244.{i}.{n + 2}", 8080, node) for i, node in enumerate(nodes))
        local = tuple(e for e in ends if e.node == "node-1") if port.uses_local_endpoints else ()
        found[f"d/s{n}"] = (Service(port, Decision(ends, local, bool(ends))),)
    return found


async def held(path: str) -> tuple[Servers, dict[str, frozenset[str]], set[str], list[str]]:
    """Servers, entries by set, bound addresses and rules, as the kernel has them."""
    servers, sets = IpvsSocket(path), IpsetSocket(path)
    bound = Placeholders(path, DEVICE, 4)
    bound.prepare()
    entries = {name: value.entries for name, value in sets.observe_sets().items()}
    rules = (await netns.run(path, ["iptables-save"])).decode().splitlines()
    found = servers.observe_servers(4), entries, bound.observe()
    for each in (servers, sets, bound):
        each.close()
    return *found, [rule for rule in rules if rule.startswith("-A")]


async def test_a_first_full_sync_is_what_a_comparing_one_makes(path: str) -> None:
    wanted = compile_ipvs(in_order(mixed()), VIEW)
    first = open_backend("ipvs", path)
    await first.replace(mixed(), VIEW)
    servers, entries, bound, rules = await held(path)
    assert servers == wanted.servers
    assert entries == {name: value.entries for name, value in wanted.sets.items()}
    assert bound == set(wanted.addresses)
    assert len(set(rules)) == len(rules)
    first.close()
    second = open_backend("ipvs", path)
    await second.replace(mixed(), VIEW)
    assert await held(path) == (servers, entries, bound, rules)
    await second.replace({}, VIEW)
    servers, entries, bound, _ = await held(path)
    assert not servers and not bound and not any(entries.values())
    await second.clean()


async def test_changes_after_a_first_full_sync(path: str) -> None:
    """With the books made in advance, and made by the change itself."""
    for prepared in (True, False):
        backend, before = open_backend("ipvs", path), mixed()
        await backend.replace(before, VIEW)
        if prepared:
            await backend.settle()
        after = {**before, "d/s1": (), **services("10.244.1.5")}
        changes = [Change(key, before.get(key, ()), after[key]) for key in ("d/s1", "d/s")]
        await backend.update(after, changes, VIEW)
        servers, entries, bound, _ = await held(path)
        wanted = compile_ipvs(in_order(after), VIEW)
        assert (servers, bound) == (wanted.servers, set(wanted.addresses))
        assert entries == {name: value.entries for name, value in wanted.sets.items()}
        assert await backend.is_intact()
        await backend.clean()


@pytest.mark.parametrize("table", ["nat", "filter"])
async def test_flushed_rules_are_missed(path: str, table: str) -> None:
    backend = open_backend("ipvs", path)
    await backend.replace(mixed(), VIEW)
    assert await backend.is_intact()
    await netns.run(path, ["iptables", "-t", table, "-F"])
    assert not await backend.is_intact()
    await backend.replace(mixed(), VIEW)
    assert await backend.is_intact()
    await backend.clean()


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
