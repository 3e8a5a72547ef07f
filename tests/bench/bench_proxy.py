"""The proxy modes over 10 to 5,000 Services of 5 endpoints: programming, changes, connections.

For each mode: compiling, the first full sync beside the bare tool with the same rules in the same
run, what it takes of memory, one changed endpoint in the backend and from the API write until the
barrier says that packets meet it, and TCP connects through the last Service beside direct ones.
IPVS is measured where the kernel has it. NETEMU_BENCH_SERVICES="10 100" makes it short.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import statistics
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from netemu.aio import spawn
from netemu.api.kinds.endpointslice import ENDPOINT_SLICES
from netemu.api.kinds.node import NODES
from netemu.api.kinds.service import SERVICES
from netemu.apiserver.server import ApiServer
from netemu.config import ClusterConfig
from netemu.errors import DataplaneError
from netemu.netstate import iptables, nftables
from netemu.node import capabilities, netns, netns_directory
from netemu.node.proxy import NodeProxy, ProxyOptions
from netemu.node.proxybackend import Change
from netemu.node.proxymodes import open_backend
from netemu.proxy.endpoints import Decision, Service
from netemu.proxy.flat import compile_flat
from netemu.proxy.iptables import compile_iptables
from netemu.proxy.ipvs import compile_ipvs
from netemu.proxy.model import Endpoint, NodeView, ServicePort
from netemu.proxy.nftables import compile_nftables

SIZES = [int(n) for n in os.environ.get("NETEMU_BENCH_SERVICES", "10 100 1000 5000").split()]
ENDPOINTS, RUNS, CONNECTS, ROUNDS = 5, 3, 200, 10
RUN = Path("/run/netemu")
NODE, PLAIN, CLIENT = "bench-node", "bench-plain", "bench-client"
TRACKED, SINGLE = "bench-tracked", "bench-single"
TRACK = b"table ip t { chain c { type filter hook output priority 0; ct state invalid drop; }; }"
TRANSLATE = b"""table ip t { chain c { type nat hook output priority -100;
    ip daddr 10.96.0.1 tcp dport 80 dnat to 10.247.1.10:8080; }; }"""
VIEW = NodeView(
    name="node-1", address="172.30.0.2", local_cidr="10.244.0.0/16", service_cidrs=("10.96.0.0/12",)
)
COMPILE = {
    "iptables": compile_iptables,
    "nftables": compile_nftables,
    "flat": compile_flat,
    "ipvs": compile_ipvs,
}
BARE_IPTABLES_LIMIT = 1000
"""One input larger than this takes iptables-nft tens of seconds (31 s at 5,000 Services)."""


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
            addresses = ["10.244.1.10"]
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


def bare(mode: str, ordered: list[Service]) -> float | None:
    """The tool alone with the same rules; None where nothing comparable exists."""
    if mode == "nftables":
        text, argv = nftables.render(compile_nftables(ordered, VIEW)), ["nft", "-f", "-"]
    elif mode == "iptables" and len(ordered) <= BARE_IPTABLES_LIMIT:
        text = iptables.Restore(tables=compile_iptables(ordered, VIEW)).render()
        argv = ["iptables-restore", "--noflush"]
    else:
        return None

    def run() -> None:
        netns.run_blocking(netns.path_of(NODE), argv, stdin=text.encode(), timeout=120)

    return median_of(run, 1)


def kernel_mib() -> float:
    """What the kernel holds in its allocators; other work on the machine shows in it too."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(fields[name].split()[0]) for name in ("Slab", "VmallocUsed", "Percpu")) / 1024


def process_mib() -> float:
    """This process's own memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def programming(mode: str, count: int) -> dict[str, Any]:
    """One size of one mode: seconds."""
    before = services(count)
    ordered = [port for key in sorted(before) for port in before[key]]
    figures: dict[str, Any] = {"compile_s": median_of(lambda: COMPILE[mode](ordered, VIEW))}
    figures |= counts(mode, ordered)
    tool = bare(mode, ordered)
    backend = open_backend(mode, netns.path_of(NODE))
    await backend.clean()
    try:
        kernel, process = kernel_mib(), process_mib()
        figures["full_s"] = await timed(lambda: backend.replace(before, VIEW))
        figures["kernel_mib"] = kernel_mib() - kernel
        figures["process_mib"] = process_mib() - process
        if tool is not None:
            figures["full_bare_tool_s"] = tool
            figures["full_to_bare"] = figures["full_s"] / tool
        figures |= await _changes(backend, before)
        figures |= connects(ordered[-1].port.cluster_ip)
    finally:
        await backend.clean()
        backend.close()
    return figures


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
    # The first change makes the books that the later ones use.
    await backend.update(with_extra, change, VIEW)
    await backend.update(before, [Change("default/extra", added, ())], VIEW)
    figures = {"add_service_s": await timed(lambda: backend.update(with_extra, change, VIEW))}
    times = []
    for _ in range(RUNS):
        forth, back = Change(key, before[key], after[key]), Change(key, after[key], before[key])
        times.append(await timed(lambda f=forth: backend.update(after, [f], VIEW)))
        times.append(await timed(lambda b=back: backend.update(before, [b], VIEW)))
    figures["change_endpoint_s"] = statistics.median(times)
    return figures


# --- connections -------------------------------------------------------------------------------


NETWORKS = {NODE: "10.244.1", PLAIN: "10.245.1", TRACKED: "10.246.1", SINGLE: "10.247.1"}


def open_world() -> None:
    """One server, at .10 of a network to each of four nodes: the one with the proxy's rules, one
    without any, one that only tracks connections, one with a single rule that translates."""
    with netns_directory.machine_lock(RUN):
        netns_directory.prepare(RUN)
    for name in (*NETWORKS, CLIENT):
        netns.create(name).close()
    commands = [f"-n {CLIENT} link set lo up", f"-n {NODE} link set lo up"]
    for n, (name, network) in enumerate(NETWORKS.items()):
        commands += [
            f"link add n0 netns {name} type veth peer name eth{n} netns {CLIENT}",
            f"-n {name} link set n0 up",
            f"-n {name} addr add {network}.1/24 dev n0",
            f"-n {name} route add default via {network}.10",
            f"-n {CLIENT} link set eth{n} up",
            f"-n {CLIENT} addr add {network}.10/24 dev eth{n}",
        ]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    for name, rules in ((TRACKED, TRACK), (SINGLE, TRANSLATE)):
        netns.run_blocking(netns.path_of(name), ["nft", "-f", "-"], stdin=rules)


def close_world() -> None:
    for name in (*NETWORKS, CLIENT):
        netns.delete(netns.path_of(name))
    with netns_directory.machine_lock(RUN):
        netns_directory.give_back(RUN)


def connects(vip: str) -> dict[str, float]:
    """Microseconds of a TCP connect by five ways in turns, all from this one process.

    `connect`: through the Service `vip`. `direct`: from a node without rules, so that the kernel
    does not even track connections. `tracked`: from a node whose only rule has it track them, which
    every node of a cluster does. `single`: through one lone DNAT rule, the least that any proxy of
    this kind costs. `beside`: past the Service, under the same rules.
    """
    ways = {
        "connect": (NODE, (vip, 80)),
        "direct": (PLAIN, ("10.245.1.10", 8080)),
        "tracked": (TRACKED, ("10.246.1.10", 8080)),
        "single": (SINGLE, ("10.96.0.1", 80)),
        "beside": (NODE, ("10.244.1.10", 8080)),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    with netns.socket_in(netns.path_of(CLIENT), socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", 8080))
        listener.listen(16)
        for _ in range(ROUNDS):
            clients = {way: _sockets(node) for way, (node, _) in ways.items()}
            for n in range(CONNECTS):
                for way, (_, to) in ways.items():
                    with clients[way][n] as client:
                        start = time.perf_counter_ns()
                        client.connect(to)
                        times[way].append((time.perf_counter_ns() - start) / 1e3)
                        listener.accept()[0].close()
    figures = {}
    for way, taken in times.items():
        taken.sort()
        figures[f"{way}_p50_us"] = taken[len(taken) // 2]
        figures[f"{way}_p99_us"] = taken[len(taken) * 99 // 100]
    for way in ("direct", "tracked", "single", "beside"):
        figures[f"connect_to_{way}"] = figures["connect_p50_us"] / figures[f"{way}_p50_us"]
    return figures


def _sockets(node: str) -> list[socket.socket]:
    """Made before any time is taken; closing resets, so that no TIME_WAIT remains."""

    def make() -> list[socket.socket]:
        made = [socket.socket() for _ in range(CONNECTS)]
        for sock in made:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return made

    return netns.call_in(netns.path_of(node), make)


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
    modes = [m for m in COMPILE if {"flat": "nftables"}.get(m, m) in present]
    figures: dict[str, Any] = {mode: {} for mode in modes}
    open_world()
    try:
        for count in SIZES:
            for mode in modes:
                with suppress(DataplaneError):
                    figures[mode][str(count)] = asyncio.run(programming(mode, count))
        largest = SIZES[-1]
        for mode in modes:
            figures[mode]["api_write_to_barrier_s"] = asyncio.run(end_to_end(mode, largest))
        figures["flat"]["three_nodes_s"] = asyncio.run(three_nodes("flat", largest))
    finally:
        close_world()
    return figures
