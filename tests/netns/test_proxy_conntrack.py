"""Stale UDP connections in a real kernel's table: which are cut, and that a failure loses none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest

from netemu.errors import DataplaneError
from netemu.netstate.conntrack import Look
from netemu.node import netns
from netemu.node.conntrack import ConntrackTable
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymodes import open_backend
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.model import Endpoint, NodeView, ServicePort

A, B = "10.244.1.2", "10.244.2.2"
VIP, NODE = "10.96.0.10", "172.30.0.2"
DNS = ServicePort(
    namespace="d", name="dns", protocol="udp", cluster_ip=VIP, port=53, node_port=30053
)


def dns(*addresses: str) -> tuple[Service, ...]:
    endpoints = tuple(Endpoint(address, 5353) for address in addresses)
    return (Service(DNS, Decision(endpoints, (), True)),)


async def insert(path: str, answering: str, ports: Iterable[int], to: tuple[str, int]) -> None:
    """Entries as those of clients that asked `to` and were answered by `answering`."""
    lines = [
        f"-I -p udp -s 10.244.3.9 -d {to[0]} --sport {port} --dport {to[1]} -r {answering}"
        f" -q 10.244.3.9 --reply-port-src {5353 if answering != to[0] else to[1]}"
        f" --reply-port-dst {port} -t 600\n"
        for port in ports
    ]
    await netns.run(path, ["conntrack", "-R", "-"], stdin="".join(lines).encode(), timeout=60)


def left(path: str) -> list[tuple[int, str]]:
    """(client's port, who answers) of the entries that stand."""
    table = ConntrackTable(path)
    try:
        return sorted((entry.source_port, entry.reply_source) for entry in table.observe_entries())
    finally:
        table.close()


@pytest.fixture
async def proxy(path: str) -> AsyncIterator[FamilyProxy]:
    view = NodeView(name="node-1", address=NODE, local_cidr="10.244.0.0/16")
    made = FamilyProxy(path, view, open_backend("nftables", path))
    yield made
    await made.backend.clean()
    made.close()


async def test_the_kernel_lists_what_is_looked_for(path: str) -> None:
    await insert(path, A, [1001, 1002], (VIP, 53))
    await insert(path, B, [1003], (VIP, 53))
    await insert(path, A, [1004], (NODE, 30053))
    table = ConntrackTable(path)

    def ports(place: tuple[str, int], *, answered: bool) -> list[int]:
        found = table.observe_entries(look=Look(place, answered))
        return sorted(entry.source_port for entry in found)

    assert ports((A, 5353), answered=True) == [1001, 1002, 1004]
    assert ports((B, 5353), answered=True) == [1003]
    assert ports((A, 53), answered=True) == []
    assert ports((VIP, 53), answered=False) == [1001, 1002, 1003]
    assert ports((NODE, 30053), answered=False) == [1004]
    table.close()


async def test_the_kernel_looks_for_ipv6_as_well(path: str) -> None:
    line = (
        "conntrack -I -p udp -s fd00::9 -d fd00:96::a --sport 1001 --dport 53 -r fd00::2"
        " -q fd00::9 --reply-port-src 5353 --reply-port-dst 1001 -t 600"
    )
    await netns.run(path, line.split(), timeout=60)
    table = ConntrackTable(path)
    for look in (Look(("fd00::2", 5353), answered=True), Look(("fd00:96::a", 53), answered=False)):
        (entry,) = table.observe_entries(6, look)
        assert entry.reply_source == "fd00::2"
    assert table.observe_entries(6, Look(("fd00::2", 5354), answered=True)) == []
    assert table.apply_delete([entry, entry]) == 1
    assert table.observe_entries(6) == []
    table.close()


async def test_all_that_lead_to_a_gone_endpoint_go(path: str, proxy: FamilyProxy) -> None:
    """More than one request of the kernel takes, and some that are no business of the Service."""
    await proxy.sync({"d/dns": dns(A, B)})
    await insert(path, A, range(2000, 2500), (VIP, 53))
    await insert(path, A, [3000], (NODE, 30053))
    await insert(path, B, [4000], (VIP, 53))
    await insert(path, A, [5000], ("10.96.0.11", 53))
    await proxy.sync({"d/dns": dns(B)})
    assert left(path) == [(4000, B), (5000, A)]


async def test_a_new_service_takes_over_what_went_elsewhere(
    path: str,
    proxy: FamilyProxy,
) -> None:
    """Untranslated ones, and those to endpoints that went while no proxy ran."""
    await insert(path, VIP, [1001], (VIP, 53))
    await insert(path, A, [1002], (VIP, 53))
    await insert(path, A, [1003], (NODE, 30053))
    await insert(path, B, [1004], (VIP, 53))
    await proxy.sync({"d/dns": dns(B)})
    assert left(path) == [(1004, B)]


async def test_what_a_failed_sync_had_to_cut_is_cut_by_the_next(
    path: str,
    proxy: FamilyProxy,
) -> None:
    await proxy.sync({"d/dns": dns(A, B)})
    await insert(path, A, [1001], (VIP, 53))
    bad = ServicePort(namespace="d", name="bad", cluster_ip="10.96.0.2", port=70000)
    refused = Service(bad, Decision((Endpoint(B, 8080),), (), True))
    with pytest.raises(DataplaneError):
        await proxy.sync({"d/dns": dns(B), "d/bad": (refused,)})
    await proxy.sync({})
    assert proxy.left_out == {"d/bad"}
    assert left(path) == []
