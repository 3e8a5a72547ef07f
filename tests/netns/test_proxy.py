"""NodeProxy on a real kernel: what the API says becomes rules, and nothing else stays."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
from dataclasses import replace
from typing import Any

import pytest

from netemu.aio import spawn
from netemu.api.kinds.service import SERVICES
from netemu.api.kinds.servicecidr import SERVICE_CIDRS
from netemu.apiserver.registry import key_of
from netemu.errors import DataplaneError
from netemu.node import capabilities, netns
from netemu.node.proxybackend import Change
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymodes import open_backend
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.model import Endpoint, NodeView, ServicePort
from proxied_node import cluster, endpoints, has_ipvs, service

NEEDS = {"iptables": "iptables", "nftables": "nftables", "flat": "nftables", "ipvs": "ipvs"}
MODES = [pytest.param(m, marks=pytest.mark.needs(NEEDS[m])) for m in NEEDS]


@pytest.mark.parametrize("mode", MODES)
async def test_rules_follow_the_api(path: str, mode: str) -> None:
    async with cluster(path, mode) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
        assert "10.244.1.5" in await here.rules()
        await here.apply(endpoints("web", "10.244.1.6", "10.244.1.7"))
        rules = await here.rules()
        assert "10.244.1.5" not in rules
        assert "10.244.1.6" in rules and "10.244.1.7" in rules
        await here.client.delete(SERVICES, "web", "default")
        await here.apply()
        assert "10.96.0.20" not in await here.rules()


@pytest.mark.parametrize("mode", ["nftables", "flat"])
async def test_unallocated_addresses_follow_the_service_cidrs(path: str, mode: str) -> None:
    async with cluster(path, mode) as here:
        before = await here.rules()
        assert "10.96.0.0/12" in before and "10.200.0.0/24" not in before
        more = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "more"},
            "spec": {"cidrs": ["10.200.0.0/24"]},
        }
        await here.client.create(SERVICE_CIDRS, more)
        await here.client.barrier(timeout=60)
        assert "10.200.0.0/24" in await here.rules()
        await here.client.delete(SERVICE_CIDRS, "more")
        await here.client.barrier(timeout=60)
        after = await here.rules()
        assert "10.96.0.0/12" in after and "10.200.0.0/24" not in after


@pytest.mark.parametrize("mode", MODES)
async def test_another_proxys_service_has_no_rules(path: str, mode: str) -> None:
    async with cluster(path, mode) as here:
        other = service("other", "10.96.0.21")
        other["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "mine"}
        await here.apply(other, endpoints("other", "10.244.1.9"), service())
        assert "10.96.0.21" not in await here.rules()


def every_switch(modes: list[str]) -> list[str]:
    """A walk that takes every switch from one mode to another exactly once (Hierholzer)."""
    left = {mode: [other for other in modes if other != mode] for mode in modes}
    stack, walk = [modes[0]], []
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk[::-1]


async def test_a_switch_leaves_nothing_of_the_old_mode(path: str) -> None:
    capabilities.require("iptables", "nftables")
    modes = ["iptables", "nftables", "flat"] + (["ipvs"] if has_ipvs() else [])
    marks = {
        "iptables": "KUBE-SVC-",
        "nftables": "table ip kube-proxy",
        "flat": "netemu-flat",
        "ipvs": "kube-ipvs0",
    }
    walk = every_switch(modes)
    async with cluster(path, walk[0]) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
        for old, new in itertools.pairwise(walk):
            await here.proxy.set_mode(new)
            rules = await here.rules()
            assert marks[new] in rules
            assert marks[old] not in rules, f"{old} -> {new}"
            assert await _routes_localnet(path) == (new == "iptables")
        await here.apply(endpoints("web", "10.244.1.6"))
        assert "10.244.1.6" in await here.rules()


async def _routes_localnet(path: str) -> bool:
    """What NodePorts on 127.0.0.1 need, and nobody else should have (CVE-2020-8558)."""
    file = "/proc/sys/net/ipv4/conf/all/route_localnet"
    return (await netns.run(path, ["cat", file])).strip() == b"1"


async def test_a_connection_outlives_every_switch(path: str) -> None:
    """Through the Service, between two processes on the node."""
    capabilities.require("iptables", "nftables")
    walk = every_switch(["iptables", "nftables", "flat"] + (["ipvs"] if has_ipvs() else []))
    for command in ("addr add 10.244.1.5/32 dev lo", "route add 10.96.0.0/12 dev lo"):
        await netns.run(path, ["ip", *command.split()])
    with netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("10.244.1.5", 8080))
        listener.listen()
        async with cluster(path, walk[0]) as here:
            await here.apply(service(), endpoints("web", "10.244.1.5"))
            with netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM) as client:
                client.settimeout(60)
                client.connect(("10.96.0.20", 80))
                server, _ = listener.accept()
                with server:
                    server.settimeout(60)
                    for mode in walk[1:]:
                        await here.proxy.set_mode(mode)
                        client.sendall(b"there")
                        assert server.recv(5, socket.MSG_WAITALL) == b"there", mode
                        server.sendall(b"back")
                        assert client.recv(4, socket.MSG_WAITALL) == b"back", mode


class _Full(Exception):
    """The disk, or whatever else an operating system has to say."""


@pytest.mark.parametrize(("mode", "other"), [("iptables", "flat"), ("flat", "iptables")])
async def test_a_switch_that_fails_half_way_is_taken_back(
    path: str, mode: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(path, mode) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
        sync = FamilyProxy.sync

        async def fails_afterwards(self: FamilyProxy, fresh: Any) -> None:
            await sync(self, fresh)
            raise _Full

        with monkeypatch.context() as patched, pytest.raises(_Full):
            patched.setattr(FamilyProxy, "sync", fails_afterwards)
            await here.proxy.set_mode(other)
        await here.apply(endpoints("web", "10.244.1.6"))
        marks = {"iptables": "KUBE-SVC-", "flat": "netemu-flat"}
        rules = await here.rules()
        assert marks[mode] in rules and marks[other] not in rules and "10.244.1.6" in rules
        await here.proxy.set_mode(other)
        rules = await here.rules()
        assert marks[other] in rules and marks[mode] not in rules


async def test_addresses_change_hands_also_after_a_switch(path: str) -> None:
    vip = ["203.0.113.9"]
    async with cluster(path, "flat") as here:
        await here.apply(service("a", "10.96.0.21", externalIPs=vip), endpoints("a", "10.244.1.5"))
        await here.apply(service("b", "10.96.0.22", externalIPs=vip), endpoints("b", "10.244.1.6"))
        (warning,) = await here.warnings("b")
        assert warning.startswith("AddressTaken") and "203.0.113.9:80/TCP" in warning
        await here.proxy.set_mode("iptables")
        await here.client.delete(SERVICES, "a", "default")
        await here.apply()
        (claimed,) = re.findall(r"-d 203.0.113.9/32 .*", await here.rules())
        assert "KUBE-EXT-" in claimed
        assert await here.warnings("a") == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_restart_in_the_same_mode_loses_no_connection(path: str, mode: str) -> None:
    """TestSyncProxyRulesStartup: it begins with rules that a former process left."""
    for command in ("addr add 10.244.1.5/32 dev lo", "route add 10.96.0.0/12 dev lo"):
        await netns.run(path, ["ip", *command.split()])
    with netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("10.244.1.5", 8080))
        listener.listen()

        def connect() -> None:
            with netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM) as client:
                client.settimeout(60)
                client.connect(("10.96.0.20", 80))
                listener.accept()[0].close()

        async with cluster(path, mode) as here:
            await here.apply(service(), endpoints("web", "10.244.1.5"))
            before, view = await here.rules(), here.proxy.view()
            again = FamilyProxy(path, view, open_backend(mode, path))
            async with asyncio.TaskGroup() as group:
                sync = again.sync(dict(here.proxy.services()))
                syncing = spawn(group, sync, name="a second start")
                while not syncing.done():
                    await asyncio.to_thread(connect)
            await asyncio.to_thread(connect)
            again.close()
            assert _names_in(await here.rules()) == _names_in(before)


def _names_in(rules: str) -> set[str]:
    """What they have by name, and nothing that counts or is random."""
    return set(re.findall(r"KUBE-[A-Z0-9-]+|10\.[\d.]+|[a-z]+-pick-\d+", rules))


async def test_conntrack_waits_as_long_as_with_kube_proxy(path: str) -> None:
    """The e2e test "KubeProxy should set TCP CLOSE_WAIT timeout"."""
    async with cluster(path, "flat"):
        names = ("established", "close_wait")
        files = [f"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{name}" for name in names]
        assert (await netns.run(path, ["cat", *files])).decode().split() == ["86400", "3600"]


@pytest.mark.parametrize(("old", "new"), [("iptables", "flat"), ("nftables", "iptables")])
async def test_a_restart_in_another_mode_leaves_nothing_of_the_old(
    path: str, old: str, new: str
) -> None:
    async with cluster(path, old) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
    async with cluster(path, new) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
        gone = {"iptables": "KUBE-SVC", "nftables": "table ip kube-proxy"}[old]
        async with asyncio.timeout(60):
            while gone in (rules := await here.rules()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "10.244.1.5" in rules


@pytest.mark.parametrize(
    "left",
    [
        "*nat\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-SEP-ABC - [0:0]\n-A KUBE-SEP-ABC -j KUBE-MARK-MASQ\n",
        "*filter\n:KUBE-SERVICES - [0:0]\n-A FORWARD -j KUBE-SERVICES\n",
        "*mangle\n:KUBE-PROXY-CANARY - [0:0]\n",
    ],
)
async def test_what_a_sync_cut_short_has_left_goes_as_well(path: str, left: str) -> None:
    """A daemon may be killed between two pieces of a large rule set, or of its removal."""
    capabilities.require("iptables")
    await netns.run(path, ["iptables-restore", "--noflush"], stdin=f"{left}COMMIT\n".encode())
    async with cluster(path, "flat") as here, asyncio.timeout(60):
        while "KUBE-" in await here.rules():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", MODES)
async def test_clean_leaves_nothing(path: str, mode: str) -> None:
    async with cluster(path, mode) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
        await here.proxy.clean()
        rules = await here.rules()
        assert "KUBE-" not in rules and "kube-" not in rules and "netemu" not in rules


@pytest.mark.parametrize(
    ("mode", "flush", "mark"),
    [
        ("iptables", "nft flush ruleset", "DNAT --to-destination 10.244.1.5"),
        ("iptables", "iptables -w 5 -t nat -F", "DNAT --to-destination 10.244.1.5"),
        ("iptables", "iptables -w 5 -t nat -F KUBE-SERVICES", "-A KUBE-SERVICES -d 10.96.0.20"),
        ("iptables", "iptables -w 5 -F", "-A KUBE-FORWARD -m"),
        ("nftables", "nft flush ruleset", "10.244.1.5"),
        ("nftables", "nft flush table ip kube-proxy", "vmap @service-ips"),
        ("flat", "nft flush ruleset", "10.244.1.5"),
        ("flat", "nft flush table ip netemu-flat", "vmap @service-ips"),
    ],
)
async def test_rules_flushed_behind_our_back_come_back(
    path: str, mode: str, flush: str, mark: str
) -> None:
    async with cluster(path, mode, sync_period=0.1) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
        assert mark in await here.rules()
        await netns.run(path, flush.split())
        await here.until(mark)


def _bad_and_good() -> dict[str, tuple[Service, ...]]:
    good = ServicePort(namespace="d", name="good", cluster_ip="10.96.0.1", port=80)
    endpoint = (Endpoint("10.244.1.5", 8080),)
    decision = Decision(endpoint, (), True)
    bad = replace(good, name="bad", cluster_ip="10.96.0.2", port=70000)
    services = {f"d/ok-{i}": (Service(replace(good, name=f"ok-{i}"), decision),) for i in range(5)}
    return {**services, "d/bad": (Service(bad, decision),)}


@pytest.mark.parametrize("mode", ["iptables", "nftables", "flat"])
async def test_a_refused_service_is_left_out_and_the_others_stay(path: str, mode: str) -> None:
    view = NodeView(name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16")
    proxy = FamilyProxy(path, view, open_backend(mode, path))
    await proxy.sync(_bad_and_good())
    assert proxy.left_out == {"d/bad"}
    shown = await netns.run(path, ["nft", "list", "ruleset"])
    assert b"10.96.0.1" in shown and b"10.96.0.2" not in shown
    await proxy.backend.clean()
    proxy.close()


@pytest.mark.parametrize("mode", MODES)
async def test_a_refused_change_leaves_the_former_rules_and_is_tried_again(
    path: str, mode: str
) -> None:
    view = NodeView(name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16")
    proxy = FamilyProxy(path, view, open_backend(mode, path))
    services = _bad_and_good()
    (bad,) = services.pop("d/bad")
    await proxy.sync(services)
    before = await _shown(path, mode)
    with pytest.raises(DataplaneError):
        await proxy.sync({"d/bad": (bad,)})
    assert await _shown(path, mode) == before
    await proxy.sync({})  # again, in full
    assert proxy.left_out == {"d/bad"}
    assert await _shown(path, mode) == before
    mended = Service(replace(bad.port, port=70), bad.endpoints)
    await proxy.sync({"d/bad": (mended,)})
    assert not proxy.left_out
    assert "10.96.0.2" in "".join(await _shown(path, mode))
    await proxy.backend.clean()
    proxy.close()


async def _shown(path: str, mode: str) -> list[str]:
    """The mode's own state in the kernel, without numbers that count packets or rules."""
    if mode == "ipvs":
        return (await netns.run(path, ["ipvsadm", "-Sn"])).decode().splitlines()
    listed = await netns.run(path, ["nft", "-s", "list", "ruleset"])
    return sorted(_flat_words(listed.decode()))


async def test_a_refused_service_is_named_and_the_others_work(path: str) -> None:
    """It came by another way than the API, which would have refused it itself."""
    async with cluster(path, "flat", sync_period=0.1) as here:
        await here.apply(service(), endpoints("web", "10.244.1.5"))
        await here.apply(service("bad", "10.96.0.21"), endpoints("bad", "10.244.1.6"))
        bad = await here.client.get(SERVICES, "bad", "default")
        bad["spec"]["ports"][0]["port"] = 70000
        key = key_of(SERVICES, "default", "bad")
        await here.api.store.txn(key, None, json.dumps(bad).encode())
        await here.until_warned("bad", "RulesRefused")
        assert await here.warnings("web") == []
        await here.apply(endpoints("web", "10.244.1.7"))
        assert "10.244.1.7" in await here.rules()


async def test_endpoints_that_nobody_can_be_sent_to_are_left_out_and_named(path: str) -> None:
    async with cluster(path, "flat") as here:
        await here.apply(service(), endpoints("web", "10.244.1.5", "239.1.2.3"))
        rules = await here.rules()
        assert "10.244.1.5" in rules and "239.1.2.3" not in rules
        (warning,) = await here.warnings("web")
        assert warning.startswith("EndpointLeftOut") and "239.1.2.3" in warning
        await here.apply(endpoints("web", "10.244.1.6", "239.1.2.3"))
        assert await here.warnings("web") == [warning], "told once"


@pytest.mark.parametrize("mode", ["nftables", "flat"])
async def test_changes_lead_to_what_a_full_sync_makes(path: str, mode: str) -> None:
    """After many small changes the kernel holds what one full sync would have put there."""
    view = NodeView(name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16")
    services = {k: v for k, v in _bad_and_good().items() if k != "d/bad"}
    unique = {
        key: (Service(replace(v[0].port, cluster_ip=f"10.96.1.{i}"), v[0].endpoints),)
        for i, (key, v) in enumerate(services.items())
    }
    backend = open_backend(mode, path)
    await backend.replace({}, view)
    held: dict[str, tuple[Service, ...]] = {}
    for key, ports in unique.items():
        change = Change(key, (), ports)
        held[key] = ports
        await backend.update(held, [change], view)
    first = next(iter(unique))
    await backend.update(held, [Change(first, held.pop(first), ())], view)
    await backend.maintain()
    stepwise = (await netns.run(path, ["nft", "list", "ruleset"])).decode()
    await backend.replace(held, view)
    at_once = (await netns.run(path, ["nft", "list", "ruleset"])).decode()
    assert sorted(_flat_words(stepwise)) == sorted(_flat_words(at_once))
    await backend.clean()
    backend.close()


def _flat_words(listing: str) -> list[str]:
    return listing.replace(",", " ").split()
