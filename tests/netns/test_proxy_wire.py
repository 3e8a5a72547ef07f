"""Our nfnetlink bytes against the program nft: the kernel must hold the very same table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netemu.netstate.nftables import render
from netemu.netstate.nfwire import encode_table
from netemu.node import netns
from netemu.node.nfsocket import NfSocket
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymodes import open_backend
from netemu.proxy import flat
from netemu.proxy.endpoints import Service, decide
from netemu.proxy.flatwire import encode_flat
from netemu.proxy.model import Endpoint, Family, NodeView, ServicePort
from netemu.proxy.nftables import compile_nftables

pytestmark = pytest.mark.needs("nftables", "iptables")


def view(family: Family) -> NodeView:
    if family == 4:
        return NodeView(
            name="node-1",
            address="172.30.0.2",
            local_cidr="10.244.0.0/16",
            service_cidrs=("10.96.0.0/12",),
        )
    return NodeView(
        name="node-1",
        family=6,
        address="fd00:30::2",
        local_cidr="fd00:10:244::/56",
        service_cidrs=("fd00:10:96::/112",),
    )


def services(family: Family) -> dict[str, tuple[Service, ...]]:
    """One of every kind: plain, external with source ranges, Local, affinity, no endpoints."""
    prefix, pods, vip, ranges = (
        ("10.96.0.", "10.244.1.", "203.0.113.", ("10.0.0.0/8", "192.168.4.0/22"))
        if family == 4
        else ("fd00:10:96::", "fd00:10:244:1::", "2001:db8::", ("fd00::/16", "2001:db8:7::/48"))
    )
    endpoints = tuple(Endpoint(f"{pods}{n}", 8080, f"node-{n}") for n in (1, 2, 3))
    plain = ServicePort(namespace="d", name="plain", cluster_ip=f"{prefix}1", port=80)
    ports = [
        plain,
        replace(plain, name="udp", protocol="udp", cluster_ip=f"{prefix}2", port=53),
        replace(
            plain,
            name="balancer",
            cluster_ip=f"{prefix}3",
            node_port=30080,
            external_ips=(f"{vip}1",),
            load_balancer_ips=(f"{vip}2",),
            source_ranges=ranges,
        ),
        replace(plain, name="local", cluster_ip=f"{prefix}4", node_port=30081, external_local=True),
        replace(plain, name="inner", cluster_ip=f"{prefix}5", internal_local=True),
        replace(plain, name="sticky", cluster_ip=f"{prefix}6", affinity_seconds=60),
    ]
    found = {
        f"d/{port.name}": (Service(port, decide(port, endpoints, view(family))),) for port in ports
    }
    empty = replace(plain, name="empty", cluster_ip=f"{prefix}7")
    return {**found, "d/empty": (Service(empty, decide(empty, (), view(family))),)}


def ordered(family: Family) -> list[Service]:
    held = services(family)
    return [port for key in sorted(held) for port in held[key]]


async def listing(path: str) -> str:
    return (await netns.run(path, ["nft", "list", "ruleset"])).decode()


@pytest.mark.parametrize("family", [4, 6])
async def test_the_kernel_holds_what_nft_would_have_put_there(path: str, family: Family) -> None:
    table = compile_nftables(ordered(family), view(family))
    await netns.run(path, ["nft", "-f", "-"], stdin=render(table).encode())
    by_nft = await listing(path)
    socket = NfSocket(path)
    socket.apply_batch(encode_table(table))
    by_us = await listing(path)
    socket.close()
    assert by_us == by_nft


@pytest.mark.parametrize("family", [4, 6])
async def test_the_fast_encoder_says_what_the_table_says(path: str, family: Family) -> None:
    socket = NfSocket(path)
    socket.apply_batch(encode_table(flat.compile_flat(ordered(family), view(family))))
    slow = await listing(path)
    socket.apply_batch(encode_flat(services(family), view(family)))
    fast = await listing(path)
    socket.close()
    assert sorted(fast.replace(",", " ").split()) == sorted(slow.replace(",", " ").split())


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mode", ["iptables", "nftables", "flat"])
async def test_every_kind_of_service_goes_in_and_out(path: str, mode: str, family: Family) -> None:
    proxy = FamilyProxy(path, view(family), open_backend(mode, path, family))
    held = services(family)
    await proxy.sync(held)
    assert proxy.left_out == frozenset()
    whole = await listing(path)
    for key in held:
        await proxy.sync({key: ()})
        await proxy.sync({key: held[key]})
    again = await listing(path)
    assert set(whole.replace(",", " ").split()) <= set(again.replace(",", " ").split())
    await proxy.sync(dict.fromkeys(held, ()))
    await proxy.backend.maintain()
    assert held["d/plain"][0].port.cluster_ip + " " not in await listing(path)
    await proxy.backend.clean()
    proxy.close()


async def test_a_new_endpoint_rewrites_no_chain_of_another(path: str) -> None:
    """An iptables chain that is written again takes time, and its counters start anew."""
    proxy = FamilyProxy(path, view(4), open_backend("iptables", path, 4))
    held = services(4)
    await proxy.sync(held)
    (service,) = held["d/plain"]
    known = {e.address for e in service.endpoints.reachable}
    grown = (*service.endpoints.reachable, Endpoint("10.244.1.9", 8080, "node-1"))
    texts: list[str] = []
    restore = proxy.backend._tool.restore  # type: ignore[attr-defined]

    async def note(text: str, **more: bool) -> None:
        texts.append(text)
        await restore(text, **more)

    proxy.backend._tool.restore = note  # type: ignore[attr-defined]
    await proxy.sync({"d/plain": (Service(service.port, decide(service.port, grown, view(4))),)})
    (text,) = texts
    assert text.count(":KUBE-SEP-") == 1
    assert not [address for address in known if f"--to-destination {address}:" in text]
    assert "--to-destination 10.244.1.9:8080" in text
    rules = (await netns.run(path, ["iptables-save", "-t", "nat"])).decode()
    for address in known | {"10.244.1.9"}:
        assert f"--to-destination {address}:8080" in rules
    await proxy.backend.clean()
    proxy.close()
