"""The real kube-proxy in netemu's nodes, in place of netemu's own: the same flows must pass.

It runs in both nodes of the scenarios' world and gets everything from netemu's API server. Only
cases that hold since 1.20 are here: that one knew no internalTrafficPolicy, topology hints, ipMode
or terminating endpoints yet, and kept bridged packets from external addresses (physdev).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import proxy_world as world
import real_ipvs
import real_rules
from netemu.errors import CapabilityError
from netemu.node import capabilities, netns
from netemu.node.proxymodes import open_backend
from netemu.node.throwaway import throwaway_namespace
from real_proxy import KUBE_PROXY, Objects, api_in_nodes, kube_proxies, play_kubelet
from scenarios import scenario

NEEDS = {"iptables": ("iptables",), "ipvs": ("ipvs", "ipset", "dummy")}
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

_NO_FALLBACK = "1.20 did not fall back to other nodes' endpoints"
_MARKED = "1.20 marked also what comes from outside the ranges, and dropped it later"
_SOURCE_RANGES = tuple(name for name in CASES if name.startswith("source-ranges"))
OTHER_FLOWS = {"iptables": {}, "ipvs": {"external-policy-local-none-here": _NO_FALLBACK}}
"""By mode: cases whose flows differ, and why."""
OTHER_RULES = {
    "iptables": {
        "external-ips-local": "1.20 took bridged packets to external addresses for the pods' own",
        **dict.fromkeys(set(_SOURCE_RANGES) - {"source-ranges-local"}, _MARKED),
    },
    "ipvs": {**OTHER_FLOWS["ipvs"], **dict.fromkeys(_SOURCE_RANGES, _MARKED)},
}
"""By mode: cases whose rules differ; but for the flows above, they come to the same."""

pytestmark = [
    pytest.mark.skipif(not KUBE_PROXY, reason="no kube-proxy at hand; KUBE_PROXY=/path names one"),
    pytest.mark.skipif(os.geteuid() != 0, reason="kube-proxy in a node needs root"),
]


@pytest.fixture(params=["iptables", "ipvs"])
def mode(request: pytest.FixtureRequest) -> str:
    """A mode of kube-proxy's that this kernel has; for ipvs see scripts/uml and scripts/vm."""
    try:
        capabilities.require(*NEEDS[request.param])
    except CapabilityError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture
def built(mode: str) -> Iterator[None]:
    world.destroy()
    world.build()
    play_kubelet()
    yield
    world.destroy()


def _by_options(names: Iterable[str]) -> dict[tuple[Any, ...], list[Any]]:
    """The cases, those with the same options together: each set takes other kube-proxies."""
    known = {case.name: case for case in scenario.every()}
    found: dict[tuple[Any, ...], list[Any]] = {}
    for name in names:
        options = tuple(sorted(known[name].steps[0].options.items()))
        found.setdefault(options, []).append(known[name])
    return found


async def test_the_same_flows_pass(built: None, mode: str) -> None:
    servers = world.Servers()

    async def flows(step: Any) -> list[str]:
        found: list[str] = []
        servers.serve(world.endpoints_of(step))
        try:
            await world.check_step(step, mode)
        except* AssertionError as wrong:
            found += [str(each) for each in wrong.exceptions]
        finally:
            servers.close()
        return found

    cases = [name for name in CASES if name not in OTHER_FLOWS[mode]]
    assert await _wrong_in_every_step(mode, cases, flows) == []


async def test_our_rules_come_to_the_same(built: None, mode: str) -> None:
    observe = {"iptables": real_rules.observe, "ipvs": real_ipvs.observe}[mode]
    with throwaway_namespace() as path:
        # Without routes an endpoint's address looks like a broadcast to IPVS.
        netns.run_blocking(path, ["ip", "link", "set", "lo", "up"])
        ours = open_backend(mode, path)

        async def rules(step: Any) -> list[str]:
            found = []
            for node in scenario.NODES:
                await ours.replace(step.services(node), step.view(node))
                wanted, held = await observe(world.path_of(node)), await observe(path)
                found += [f"{node}: {x}" for x in real_rules.differences(wanted, held)]
            return found

        cases = [name for name in CASES if name not in OTHER_RULES[mode]]
        try:
            assert await _wrong_in_every_step(mode, cases, rules) == []
        finally:
            ours.close()


async def _wrong_in_every_step(
    mode: str, names: Collection[str], check: Callable[[Any], Awaitable[list[str]]]
) -> list[str]:
    """What `check` finds wrong in the steps of the cases, once kube-proxy's rules are in."""
    folder, wrong = Path(tempfile.mkdtemp(prefix="kube-proxy")), []
    try:
        async with api_in_nodes(folder) as client:
            objects = Objects(client, mode)
            for options, cases in _by_options(names).items():
                with kube_proxies(folder, mode, dict(options)):
                    for case, number, step in _steps_of(cases):
                        await objects.bring(step.objects)
                        wrong += [f"{case}, step {number}: {each}" for each in await check(step)]
    finally:
        shutil.rmtree(folder)
    return wrong


def _steps_of(cases: Iterable[Any]) -> Iterator[tuple[str, int, Any]]:
    for case in cases:
        for number, step in enumerate(case.steps, 1):
            yield case.name, number, step
