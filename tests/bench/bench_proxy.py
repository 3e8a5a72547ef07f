"""The proxy modes over 10 to 5,000 Services of 5 endpoints: programming, changes, connections.

For each mode: compiling, the first full sync beside the bare tool with the same rules in the same
run, what it takes of memory, one changed endpoint in the backend and from the API write until the
barrier says that packets meet it, and TCP connects through the last Service beside direct ones.
IPVS is measured where the kernel has it; `scripts/bench --uml` and `scripts/bench --vm proxy`
have kernels with it.
NETEMU_BENCH_SERVICES="10 100", NETEMU_BENCH_MODES="flat ipvs", NETEMU_BENCH_RUNS=1 and
NETEMU_BENCH_ROUNDS=2 make it short.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import kernel_memory
import proxy_bare
import proxy_connects
from proxy_connects import NODE

from netemu.aio import spawn
from netemu.api.kinds.endpointslice import ENDPOINT_SLICES
from netemu.api.kinds.node import NODES
from netemu.api.kinds.service import SERVICES
from netemu.apiserver.server import ApiServer
from netemu.config import ClusterConfig
from netemu.errors import DataplaneError
from netemu.netstate import iptables
from netemu.node import capabilities, netns
from netemu.node.ipvssocket import IpvsSocket
from netemu.node.nfsocket import NfSocket
from netemu.node.proxy import NodeProxy
from netemu.node.proxybackend import Backend, Change
from netemu.node.proxymodes import open_backend
from netemu.node.proxyoptions import ProxyOptions
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.flat import compile_flat
from netemu.proxy.iptables import compile_iptables
from netemu.proxy.ipvs import compile_ipvs
from netemu.proxy.model import Endpoint, NodeView, ServicePort
from netemu.proxy.nftables import compile_nftables

gc.freeze()
gc.set_threshold(50_000, 20, 100)  # as the daemon does
SIZES = [int(n) for n in os.environ.get("NETEMU_BENCH_SERVICES", "10 100 1000 5000").split()]
MODES = os.environ.get("NETEMU_BENCH_MODES", "iptables nftables flat ipvs").split()
ENDPOINTS, RUNS = 5, int(os.environ.get("NETEMU_BENCH_RUNS", "3"))
FULL, LEGACY = "bench-full", "bench-legacy"
VIEW = NodeView(
    name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16", service_cidrs=("10.96.0.0/12",)
)
COMPILE = {
    "iptables": compile_iptables,
    "nftables": compile_nftables,
    "flat": compile_flat,
    "ipvs": compile_ipvs,
}


def services(count: int, moved: int = -1) -> dict[str, tuple[Service, ...]]:
    """`moved`: the Service one of whose endpoints is another one. The last leads to the server."""
    found = {}
    for i in range(count):
        last = i == count - 1
        port = ServicePort(
            namespace="default",
            name=f"s{i:05}",
            cluster_ip=f"10.{97 + i // 60000}.{i // 250}.{i % 250 + 1}",
            port=80,
        )
        addresses = [f"10.244.{(i * 7 + j) % 200 + 2}.{j + 1}" for j in range(ENDPOINTS)]
        if last:
            addresses = [proxy_connects.SERVER]
        if i == moved:
            addresses[0] = "10.244.250.1"
        chosen = tuple(Endpoint(a, 8080, "node-2") for a in sorted(addresses))
        found[f"default/{port.name}"] = (Service(port, Decision(chosen, (), True)),)
    return found


def median_of(function: Callable[[], Any], runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


@contextmanager
def backend_of(mode: str) -> Iterator[Backend]:
    backend = open_backend(mode, netns.path_of(NODE))
    try:
        yield backend
    finally:
        backend.close()


async def programming(mode: str, count: int) -> dict[str, Any]:
    """One size of one mode: seconds."""
    before = services(count)
    ordered = [port for key in sorted(before) for port in before[key]]
    figures: dict[str, Any] = {"compile_s": median_of(lambda: COMPILE[mode](ordered, VIEW))}
    figures |= counts(mode, ordered)
    figures |= await full_beside_bare(mode, before)
    with backend_of(mode) as backend:
        await backend.clean()
        try:
            process = process_mib()
            with kernel_memory.counted(charged=mode != "ipvs") as grown:
                await backend.replace(before, VIEW)
                figures["kernel_mib"] = grown()
            figures["process_mib"] = process_mib() - process
            figures |= await _changes(backend, before)
            figures |= proxy_connects.measure(ordered[-1].port.cluster_ip)
        finally:
            await backend.clean()
    return figures


async def full_beside_bare(mode: str, before: dict[str, tuple[Service, ...]]) -> dict[str, float]:
    """A full sync into an empty kernel and the same rules by the bare tool, by turns; the best."""
    ours, tools = [], []
    for _ in range(RUNS):
        async with empty_node(mode) as path:
            bare = proxy_bare.bare(mode, before, VIEW, path)
            tools.append(await timed(lambda b=bare: asyncio.to_thread(b)))
        async with empty_node(mode) as path:
            backend = open_backend(mode, path)
            ours.append(await timed(lambda b=backend: b.replace(before, VIEW)))
            backend.close()
    figures = {"full_s": min(ours), "full_bare_s": min(tools)}
    figures["full_to_bare"] = figures["full_s"] / figures["full_bare_s"]
    if mode == "iptables":
        figures |= legacy(before)
    return figures


@asynccontextmanager
async def empty_node(mode: str) -> AsyncIterator[str]:
    """A namespace that held no rules before: IPVS looks for each new server among those that were
    removed in the last two minutes, which would cost the second turn ten times as much."""
    path = netns.path_of(FULL)
    netns.create(FULL).close()
    try:
        await netns.run(path, ["ip", "link", "set", "lo", "up"])
        yield path
        backend = open_backend(mode, path)
        await backend.clean()
        backend.close()
    finally:
        netns.delete(path)


def legacy(before: dict[str, tuple[Service, ...]]) -> dict[str, float]:
    """The other back end of iptables, where the kernel has it."""
    netns.create(LEGACY).close()
    try:
        work = proxy_bare.legacy(before, VIEW, netns.path_of(LEGACY))
        start = time.perf_counter()
        done = proxy_bare.attempt(work)
        return {"full_bare_legacy_s": time.perf_counter() - start} if done else {}
    finally:
        netns.delete(netns.path_of(LEGACY))


def process_mib() -> float:
    """This process's own memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def counts(mode: str, ordered: list[Service]) -> dict[str, int]:
    """Rules, and what stands in maps, sets and virtual servers instead."""
    compiled: Any = COMPILE[mode](ordered, VIEW)
    if mode == "iptables":
        return {"rules": iptables.rule_count(compiled), "elements": 0}
    if mode == "ipvs":
        entries = sum(len(value.entries) for value in compiled.sets.values())
        servers = sum(1 + len(server.reals) for server in compiled.servers.values())
        return {"rules": iptables.rule_count(compiled.tables), "elements": entries + servers}
    rules = sum(len(chain.rules) for chain in compiled.chains.values())
    return {"rules": rules, "elements": sum(len(each.elements) for each in compiled.sets.values())}


async def _changes(backend: Any, before: dict[str, tuple[Service, ...]]) -> dict[str, float]:
    """One added Service, and one changed endpoint, brought into the kernel."""
    after = services(len(before), moved=0)
    key = next(iter(before))
    extra = ServicePort(namespace="default", name="extra", cluster_ip="10.111.0.1", port=80)
    added = (Service(extra, before[key][0].endpoints),)
    with_extra = {**before, "default/extra": added}
    change = [Change("default/extra", (), added)]
    await backend.settle()
    await backend.update(with_extra, change, VIEW)
    await backend.update(before, [Change("default/extra", added, ())], VIEW)
    figures = {"add_service_s": await timed(lambda: backend.update(with_extra, change, VIEW))}
    forth, back = Change(key, before[key], after[key]), Change(key, after[key], before[key])
    times, sends = [], []
    with sends_timed() as spent:
        for _ in range(RUNS):
            for now, one in ((after, forth), (before, back)):
                started = sum(spent)
                times.append(await timed(lambda n=now, o=one: backend.update(n, [o], VIEW)))
                sends.append(sum(spent) - started)
    figures["change_endpoint_s"] = statistics.median(times)
    if any(sends):
        figures["change_netlink_s"] = statistics.median(sends)
    return figures


@contextmanager
def sends_timed() -> Iterator[list[float]]:
    """Seconds of each netlink transaction: the bare cost of a change."""
    spent: list[float] = []

    def clocked(function: Callable[..., None]) -> Callable[..., None]:
        def send(*arguments: Any, **options: Any) -> None:
            start = time.perf_counter()
            function(*arguments, **options)
            spent.append(time.perf_counter() - start)

        return send

    with ExitStack() as stack:
        for owner, name in ((NfSocket, "apply_batch"), (IpvsSocket, "send")):
            new = clocked(getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, new))
        yield spent


# --- from the API write to the packet ------------------------------------------------------------


async def end_to_end(mode: str, count: int) -> float:
    """Seconds from the write of a changed EndpointSlice until the barrier passes."""
    config = ClusterConfig(name="bench-proxy")
    config.run_dir.mkdir(parents=True, exist_ok=True)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    api = ApiServer(config)
    await api.open()
    client = api.local_client()
    await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    for key, ports in services(count).items():
        await client.create(SERVICES, _object(ports[0].port))
        await client.create(ENDPOINT_SLICES, _slice(key, ports[0], "10.244.9.9"))
    proxy = NodeProxy(client, "node-1", netns.path_of(NODE), ProxyOptions(mode=mode))
    times = []
    try:
        async with asyncio.TaskGroup() as group:
            task = spawn(group, proxy.run(), name="proxy")
            while "node-1/proxy" not in (await client.barrier(timeout=120))["components"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            for n in range(2 * RUNS):
                first = next(iter(services(1).items()))
                changed = _slice(first[0], first[1][0], f"10.244.9.{n + 10}")
                start = time.perf_counter()
                await client.patch(ENDPOINT_SLICES, changed["metadata"]["name"], "default", changed)
                await client.barrier(timeout=120)
                times.append(time.perf_counter() - start)
            await proxy.clean()
            task.cancel()
    finally:
        await api.close()
        for directory in (config.run_dir, config.data_dir):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
    return statistics.median(times[1:])


def _object(port: ServicePort) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": port.name},
        "spec": {"clusterIP": port.cluster_ip, "ports": [{"port": port.port}]},
    }


def _slice(key: str, service: Service, first: str) -> dict[str, Any]:
    addresses = [first, *(e.address for e in service.endpoints.cluster[1:])]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": f"{service.port.name}-x",
            "labels": {"kubernetes.io/service-name": key.partition("/")[2]},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "protocol": "TCP", "port": 8080}],
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
    }


async def three_nodes(mode: str, count: int) -> float:
    """Seconds to program three nodes of one process side by side."""
    names = [f"bench-three-{n}" for n in range(3)]
    for name in names:
        netns.create(name).close()
    backends = [open_backend(mode, netns.path_of(name)) for name in names]
    shared = services(count)
    try:
        return await timed(
            lambda: asyncio.gather(*(backend.replace(shared, VIEW) for backend in backends))
        )
    finally:
        for backend, name in zip(backends, names, strict=True):
            backend.close()
            netns.delete(netns.path_of(name))


def run() -> dict[str, Any]:
    """Figures by mode and number of Services."""
    present = {c.name for c in capabilities.probe() if c.present}
    modes = [m for m in MODES if {"flat": "nftables"}.get(m, m) in present]
    figures: dict[str, Any] = {mode: {} for mode in modes}
    proxy_connects.open_nodes()
    try:
        for count in SIZES:
            for mode in modes:
                with suppress(DataplaneError):
                    figures[mode][str(count)] = asyncio.run(programming(mode, count))
        largest = SIZES[-1]
        for mode in modes:
            figures[mode]["api_write_to_barrier_s"] = asyncio.run(end_to_end(mode, largest))
        if "flat" in modes:
            figures["flat"]["three_nodes_s"] = asyncio.run(three_nodes("flat", largest))
    finally:
        proxy_connects.close_nodes()
    return figures
