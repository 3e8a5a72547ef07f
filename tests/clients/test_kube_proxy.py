"""The real kube-proxy in netemu's nodes, in place of netemu's own: the same flows must pass.

It runs in both nodes of the scenarios' world and gets everything from netemu's API server. Only
cases that hold since 1.20 are here: that one knew no internalTrafficPolicy, topology hints, ipMode
or terminating endpoints yet, and kept bridged packets from external addresses (physdev).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import proxy_world as world
from real_proxy import KUBE_PROXY, Objects, api_in_nodes, kube_proxies
from scenarios import scenario

CASES = (
    "affinity",
    "affinity-endpoint-gone",
    "affinity-local",
    "affinity-node-port",
    "affinity-switched-off",
    "cluster-ip",
    "cluster-ip-many-endpoints",
    "cluster-ip-same-port-different-protocols",
    "cluster-ip-sctp",
    "cluster-ip-target-port",
    "cluster-ip-unallocated",
    "cluster-ip-wrong-port",
    "dual-stack-endpoint-ignored",
    "endpoint-in-two-slices",
    "endpoint-outside-cluster",
    "endpoints-change",
    "external-ips-local",
    "external-ips-no-endpoints",
    "external-name",
    "external-policy-changes",
    "external-policy-cluster-load-balancer",
    "external-policy-local",
    "external-policy-local-load-balancer",
    "external-policy-local-none-here",
    "external-policy-local-two-vips",
    "hairpin",
    "hairpin-node-port",
    "hairpin-udp",
    "headless",
    "headless-label",
    "health-check-node-port",
    "initial-unready-becomes-ready",
    "internal-policy-local-no-endpoints",
    "load-balancer-pending",
    "multiport-node-ports",
    "no-endpoints",
    "no-endpoints-from-node",
    "no-endpoints-udp",
    "no-ready-endpoints",
    "node-port-addresses",
    "node-port-addresses-all",
    "node-port-addresses-localhost",
    "node-port-cluster",
    "node-port-localhost",
    "node-port-second-address",
    "node-port-udp",
    "pod-address-direct",
    "publish-not-ready",
    "same-endpoint-two-services",
    "service-deleted",
    "service-proxy-name",
    "some-ready-endpoints",
    "source-preserved",
    "source-ranges",
    "source-ranges-local",
    "source-ranges-node-allowed",
    "source-ranges-node-denied",
    "source-ranges-udp",
    "stale-udp-cluster-ip",
    "stale-udp-load-balancer",
    "stale-udp-node-port",
    "stale-udp-to-zero",
    "terminating-cluster-none-serving",
    "terminating-cluster-ready",
    "terminating-local-none-serving",
    "type-changes",
    "unnamed-port",
)

pytestmark = [
    pytest.mark.skipif(not KUBE_PROXY, reason="no kube-proxy at hand; KUBE_PROXY=/path names one"),
    pytest.mark.skipif(os.geteuid() != 0, reason="kube-proxy in a node needs root"),
]


@pytest.fixture
def built() -> Iterator[None]:
    world.destroy()
    world.build()
    yield
    world.destroy()


def _by_options() -> dict[tuple[Any, ...], list[Any]]:
    """The cases, those with the same options together: each set takes other kube-proxies."""
    known = {case.name: case for case in scenario.every()}
    found: dict[tuple[Any, ...], list[Any]] = {}
    for name in CASES:
        options = tuple(sorted(known[name].steps[0].options.items()))
        found.setdefault(options, []).append(known[name])
    return found


async def test_the_same_flows_pass(built: None) -> None:
    folder, wrong = Path(tempfile.mkdtemp(prefix="kube-proxy")), []
    try:
        async with api_in_nodes(folder) as client:
            objects = Objects(client)
            for options, cases in _by_options().items():
                with kube_proxies(folder, dict(options)):
                    for case in cases:
                        wrong += await _wrong_in(case, objects)
    finally:
        shutil.rmtree(folder)
    assert not wrong, "\n".join(wrong)


async def _wrong_in(case: Any, objects: Objects) -> list[str]:
    """What does not hold in a scenario, step by step."""
    servers, found = world.Servers(), []
    try:
        for number, step in enumerate(case.steps, 1):
            await objects.bring(step.objects)
            servers.serve(world.endpoints_of(step))
            try:
                await world.check_step(step, "iptables")
            except* AssertionError as wrong:
                found += [f"{case.name}, step {number}: {each}" for each in wrong.exceptions]
    finally:
        servers.close()
    return found
