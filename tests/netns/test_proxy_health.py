"""What a proxy answers over HTTP, on a real kernel: healthCheckNodePorts and /healthz."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest

from netemu.api.kinds.node import NODES
from netemu.node import netns
from proxied_node import Cluster, cluster, endpoints, service


async def _get(
    path: str, port: int, page: str = "/", host: str = "127.0.0.1"
) -> tuple[int, dict[str, str], Any]:
    argv = ["curl", "-s", "-i", "-g", "--max-time", "60", f"http://{host}:{port}{page}"]
    head, _, body = (await netns.run(path, argv)).decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split(" ")[1]), fields, json.loads(body)


HEALTH_CHECKED = service(
    type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=32123
)


async def test_health_check_node_port_counts_ready_local_endpoints(path: str) -> None:
    async with cluster(path, "iptables") as here:
        await here.apply(HEALTH_CHECKED, endpoints("web", "10.244.1.5", "10.244.1.6"))
        status, fields, body = await _get(path, 32123)
        assert status == 200
        assert fields["x-load-balancing-endpoint-weight"] == "2"
        assert body["localEndpoints"] == 2
        assert body["service"] == {"namespace": "default", "name": "web"}
        assert await _get(path, 32123, host="[::1]") == (status, fields, body)
        await here.apply(endpoints("web", "10.244.1.5", ready=False))
        status, _, body = await _get(path, 32123)
        assert status == 503 and body["localEndpoints"] == 0


FIRST, SECOND, THIRD = "172.30.0.2", "172.31.0.2", "172.31.0.3"


def _answering(path: str) -> list[str]:
    """Of the node's addresses those where the health check is answered."""
    found = []
    for host in ("127.0.0.1", "::1", FIRST, SECOND, THIRD):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with netns.socket_in(path, family, socket.SOCK_STREAM) as sock:
            if sock.connect_ex((host, 32123)) == 0:
                found.append(host)
    return found


@pytest.fixture
def addressed(path: str) -> str:
    """The namespace with two addresses; THIRD is not there yet."""
    for command in (
        "link add here type veth peer name there",
        f"address add {FIRST}/24 dev here",
        f"address add {SECOND}/24 dev here",
        "link set here up",
    ):
        netns.run_blocking(path, ["ip", *command.split()])
    return path


async def _look_again(here: Cluster) -> None:
    """Addresses are looked at with each change of the Node."""
    node = await here.client.get(NODES, "node-1")
    status = {"addresses": [{"type": "InternalIP", "address": FIRST}]}
    labels = {"looked": node["metadata"]["resourceVersion"]}
    await here.client.patch(NODES, "node-1", "", {"metadata": {"labels": labels}})
    await here.client.patch(NODES, "node-1", "", {"status": status}, subresource="status")
    await here.client.barrier(timeout=60)


async def test_health_checks_are_answered_on_node_port_addresses(addressed: str) -> None:
    listed = ["172.31.0.0/16"]
    async with cluster(addressed, "iptables", node_port_addresses=listed) as here:
        await here.apply(HEALTH_CHECKED, endpoints("web", "10.244.1.5"))
        assert _answering(addressed) == [SECOND]
        status, _, _ = await _get(addressed, 32123, host=SECOND)
        assert status == 200
        await netns.run(addressed, ["ip", "address", "add", f"{THIRD}/24", "dev", "here"])
        await _look_again(here)
        assert _answering(addressed) == [SECOND, THIRD]


async def test_health_checks_follow_the_modes_default(addressed: str) -> None:
    async with cluster(addressed, "iptables") as here:
        await here.apply(HEALTH_CHECKED, endpoints("web", "10.244.1.5"))
        await _look_again(here)
        assert _answering(addressed) == ["127.0.0.1", "::1", FIRST, SECOND]
        await here.proxy.set_mode("flat")
        assert _answering(addressed) == [FIRST]


async def test_a_health_check_whose_port_is_taken_is_told_and_tried_again(addressed: str) -> None:
    async with cluster(addressed, "iptables") as here:
        with netns.socket_in(addressed, socket.AF_INET, socket.SOCK_STREAM) as taken:
            taken.bind((SECOND, 32123))
            taken.listen()
            await here.apply(HEALTH_CHECKED, endpoints("web", "10.244.1.5"))
            await here.until_warned("web", "FailedToStartServiceHealthcheck")
        await _look_again(here)
        status, _, _ = await _get(addressed, 32123)
        assert status == 200


async def test_healthz_says_whether_the_node_is_to_stay(path: str) -> None:
    async with cluster(path, "flat") as here:
        status, _, body = await _get(path, 10256, "/healthz")
        assert status == 200 and body["nodeEligible"] is True
        taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
        await here.client.patch(NODES, "node-1", "", {"spec": {"taints": [taint]}})
        await here.client.barrier(timeout=60)
        status, _, body = await _get(path, 10256, "/healthz")
        assert status == 503 and body["nodeEligible"] is False
        status, _, _ = await _get(path, 10256, "/livez")
        assert status == 200


@pytest.mark.parametrize("mode", ["iptables", "flat"])
async def test_the_metrics_port_tells_the_mode_and_who_has_no_endpoint_here(
    path: str, mode: str
) -> None:
    """TestNoEndpointsMetric. Endpoints of other nodes count as existing; none at all do not."""

    async def told(page: str) -> str:
        return (await netns.run(path, ["curl", "-s", f"http://127.0.0.1:10249{page}"])).decode()

    async def none_here() -> dict[str, str]:
        pattern = r'no_local_endpoints_total{ip_family="IPv4",traffic_policy="(.*)"} (.*)'
        return dict(re.findall(pattern, await told("/metrics")))

    async with cluster(path, mode) as here:
        assert await told("/proxyMode") == mode
        assert await told("/healthz") == "ok"
        inside = service("inside", "10.96.0.21", internalTrafficPolicy="Local")
        outside = service("outside", "10.96.0.22", type="NodePort", externalTrafficPolicy="Local")
        outside["spec"]["ports"][0]["nodePort"] = 30080
        await here.apply(inside, outside, service("plain", "10.96.0.23"))
        assert await none_here() == {"internal": "0", "external": "0"}
        slices = [endpoints(name, "10.244.1.5") for name in ("inside", "outside", "plain")]
        for each in slices:
            each["endpoints"][0]["nodeName"] = "node-2"
        await here.apply(*slices)
        assert await none_here() == {"internal": "1", "external": "1"}
        await here.apply(endpoints("inside", "10.244.1.5"), endpoints("outside", "10.244.1.5"))
        assert await none_here() == {"internal": "0", "external": "0"}
        await here.proxy.set_mode("nftables")
        assert await told("/proxyMode") == "nftables"
