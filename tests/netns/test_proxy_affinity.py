"""What a client's affinity holds for, and for how long: real packets in each mode.

It belongs to a port of a Service and a client's address. In iptables, nftables and flat modes every
way to that port leads to the same endpoint; IPVS keeps one memory for each virtual server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import proxy_world as world
from scenarios import scenario

pytestmark = pytest.mark.needs("veth", "bridge")
NEEDS = {"iptables": "iptables", "nftables": "nftables", "flat": "nftables", "ipvs": "ipvs"}
MODES = [pytest.param(mode, marks=pytest.mark.needs(need)) for mode, need in NEEDS.items()]
ENDPOINTS = [pod for pod in scenario.PODS if pod[0] in "ab"]
"""Eight pods: two picks by chance are mostly two."""
WAYS = ("10.96.0.10:80", "node-1:30080", "203.0.113.10:80")


def objects(seconds: int) -> tuple[dict[str, Any], ...]:
    service = {
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.10",
            "ports": [
                {"name": "http", "port": 80, "nodePort": 30080},
                {"name": "other", "port": 81, "nodePort": 30081},
            ],
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}},
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}},
    }
    endpoint_slice = {
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": "web-x",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "http", "protocol": "TCP", "port": 8080},
            {"name": "other", "protocol": "TCP", "port": 8081},
        ],
        "endpoints": [{"addresses": [scenario.PODS[pod]]} for pod in ENDPOINTS],
    }
    return service, endpoint_slice


@pytest.fixture
def built() -> Iterator[None]:
    world.destroy()
    world.build()
    yield
    world.destroy()


@pytest.fixture(params=MODES)
async def proxies(built: None, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    here, servers = world.World(request.param), world.Servers()
    here.serve = servers.serve
    yield here
    servers.close()
    await here.close()


async def program(proxies: Any, seconds: int) -> None:
    step = scenario.StepOf(objects(seconds), (), {})
    await proxies.apply(step)
    proxies.serve(world.endpoints_of(step))


async def pod_behind(who: str, where: str) -> str:
    """Which pod answers `who` there."""
    reply = await world.ask(scenario.parse_flow(f"{who} tcp {where} -> none"), world.GIVE_UP)
    assert reply.verdict == "accept", f"{who} -> {where}: {reply}"
    return str(reply.endpoint.partition(":")[0])


async def test_all_ways_to_a_port_share_it(proxies: Any) -> None:
    await program(proxies, 10800)
    for who in ("out", "out2"):
        answers = [await pod_behind(who, where) for where in WAYS * 3]
        if proxies.mode == "ipvs":
            assert answers[:3] == answers[3:6] == answers[6:], "each way remembers its own"
        else:
            assert len(set(answers)) == 1


async def test_two_ports_of_a_service_are_independent(proxies: Any) -> None:
    await program(proxies, 10800)
    clients = ("out", "out2", "client", "client-2", "node-1")
    one = {who: await pod_behind(who, "10.96.0.10:80") for who in clients}
    other = {who: await pod_behind(who, "10.96.0.10:81") for who in reversed(clients)}
    assert one != other


@pytest.mark.parametrize("proxies", [m for m in MODES if "ipvs" not in m.values], indirect=True)
async def test_it_ends_with_its_timeout(proxies: Any) -> None:
    """In IPVS it lives on with the connections that it led, and with what is left of them."""
    await program(proxies, 1)
    first = await pod_behind("out", WAYS[0])
    async with asyncio.timeout(60):  # one look in eight finds the same pod again
        while await pod_behind("out", WAYS[0]) == first:  # noqa: ASYNC110
            await asyncio.sleep(1.5)
