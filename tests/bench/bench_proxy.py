"""The proxy modes over 10 to 5,000 Services of 5 endpoints: programming, changes, connections.

For each mode: compiling, the first full sync beside the bare tool with the same rules in the same
run, one changed endpoint in the backend and from the API write until the barrier says that packets
meet it, and TCP connects through the last Service beside direct ones without any rules. IPVS is
measured where the kernel has it (`scripts/test-vm`). NETEMU_BENCH_SERVICES="10 100" makes it short.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
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
ENDPOINTS, RUNS, CONNECTS, ROUNDS = 5, 3, 400, 6
RUN = Path("/run/netemu")
NODE, PLAIN, CLIENT = "bench-node", "bench-plain", "bench-client"
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


async def programming(mode: str, count: int) -> dict[str, Any]:
    """One size of one mode: seconds."""
    before = services(count)
    ordered = [port for key in sorted(before) for port in before[key]]
    figures: dict[str, Any] = {"compile_s": median_of(lambda: COMPILE[mode](ordered, VIEW))}
    figures["rules"] = _rules(mode, ordered)
    tool = bare(mode, ordered)
    backend = open_backend(mode, netns.path_of(NODE))
    await backend.clean()
    try:
        figures["full_s"] = await timed(lambda: backend.replace(before, VIEW))
        if tool is not None:
            figures["full_bare_tool_s"] = tool
            figures["full_to_bare"] = figures["full_s"] / tool
        figures |= await _changes(backend, before)
        figures |= _connects()
    finally:
        await backend.clean()
        backend.close()
    return figures


def _rules(mode: str, ordered: list[Service]) -> int:
    compiled: Any = COMPILE[mode](ordered, VIEW)
    if mode in ("iptables", "ipvs"):
        return iptables.rule_count(compiled if mode == "iptables" else compiled.tables)
    return sum(len(chain.rules) for chain in compiled.chains.values())


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


def open_world() -> None:
    """A server behind the node at 10.244.1.10, and behind a node without rules at 10.245.1.10."""
    with netns_directory.machine_lock(RUN):
        netns_directory.prepare(RUN)
    for name in (NODE, PLAIN, CLIENT):
        netns.create(name).close()
    commands = f"""
        link add n0 netns {NODE} type veth peer name eth0 netns {CLIENT}
        -n {NODE} link set lo up\n-n {NODE} link set n0 up\n-n {NODE} addr add 10.244.1.1/24 dev n0
        -n {NODE} route add default via 10.244.1.10
        -n {CLIENT} link set lo up\n-n {CLIENT} link set eth0 up
        -n {CLIENT} addr add 10.244.1.10/24 dev eth0
        link add n0 netns {PLAIN} type veth peer name eth1 netns {CLIENT}
        -n {PLAIN} link set n0 up\n-n {PLAIN} addr add 10.245.1.1/24 dev n0
        -n {CLIENT} link set eth1 up\n-n {CLIENT} addr add 10.245.1.10/24 dev eth1
    """
    for command in commands.strip().splitlines():
        subprocess.run(["ip", *command.split()], check=True)


def close_world() -> None:
    for name in (NODE, PLAIN, CLIENT):
        netns.delete(netns.path_of(name))
    with netns_directory.machine_lock(RUN):
        netns_directory.give_back(RUN)


def _connects() -> dict[str, float]:
    """Microseconds of TCP connects through the last Service, and directly from a node without
    rules, in turns."""
    through: list[float] = []
    direct: list[float] = []
    with _server():
        for _ in range(ROUNDS):
            through += _connect_times(NODE, (_last_address, 80))
            direct += _connect_times(PLAIN, ("10.245.1.10", 8080))
    through.sort()
    direct.sort()
    return {
        "connect_p50_us": through[len(through) // 2],
        "connect_p99_us": through[len(through) * 99 // 100],
        "direct_p50_us": direct[len(direct) // 2],
        "direct_p99_us": direct[len(direct) * 99 // 100],
        "connect_to_direct": through[len(through) // 2] / direct[len(direct) // 2],
    }


_SERVER = """
import socket
with socket.create_server(("", 8080), backlog=1024) as listener:
    print("ready", flush=True)
    while True:
        listener.accept()[0].close()
"""


@contextmanager
def _server() -> Iterator[None]:
    """A process of its own accepts, so that the client's times hold nothing of it."""
    argv = ["ip", "netns", "exec", CLIENT, sys.executable, "-S", "-c", _SERVER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


_last_address = ""


def _connect_times(node: str, to: tuple[str, int]) -> list[float]:
    def run() -> list[float]:
        times = []
        for _ in range(CONNECTS):
            start = time.perf_counter()
            with socket.create_connection(to, timeout=5):
                times.append((time.perf_counter() - start) * 1e6)
        return times

    return netns.call_in(netns.path_of(node), run)


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
    global _last_address
    present = {c.name for c in capabilities.probe() if c.present}
    modes = [m for m in COMPILE if {"flat": "nftables"}.get(m, m) in present]
    figures: dict[str, Any] = {mode: {} for mode in modes}
    open_world()
    try:
        for count in SIZES:
            _last_address = next(reversed(services(count).values()))[0].port.cluster_ip
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
