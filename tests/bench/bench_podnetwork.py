"""What a pod's network costs, beside the bare recipe's cost in the same run.

    sudo scripts/isolated .venv/bin/python tests/bench/bench_podnetwork.py [PODS ...]

The floor makes the same kernel objects with the same requests, encoded beforehand: no ledger, no
log, no names, no holder, nothing to find again. Kernel times move by tens of per cent from run to
run, so floor and netemu alternate and the medians' ratio is what counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from netemu.config import ClusterConfig
from netemu.node import cleanup, netns, syscalls
from netemu.node.fabric import Fabric
from netemu.node.inet_messages import add_address, add_neighbour, add_port_entry, add_route
from netemu.node.ledger import Ledger
from netemu.node.link_messages import bridge_port, delete_group, new_bridge, new_veth, set_link
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.netlink import NetlinkSocket
from netemu.node.podnetwork import PodNetwork, PodRequest

ROUNDS = 3
T = TypeVar("T")
BRIDGE_MAC, BRIDGE = "0a:58:0a:f4:00:01", 5


class Floor:
    """The recipe and nothing else, in a namespace of its own."""

    def __init__(self, count: int, threads: int) -> None:
        self.count, self.threads = count, threads
        self.fds: list[int] = []
        self.node: NetlinkSocket | None = None

    def open(self) -> None:
        fd, self.node = _in_thread(_namespace)
        self.fds.append(fd)
        bridge = new_bridge(name="cni0", mtu=1450, address=BRIDGE_MAC, index=BRIDGE)
        self.node.request([bridge, add_address(BRIDGE, "10.244.0.1/20")])
        netns.call_in(f"/proc/self/fd/{fd}", _no_link_local)
        self.inside = [self._inside(number) for number in range(self.count)]

    def add(self) -> None:
        """All pods; each message is ready but for the descriptor of the pod's namespace."""
        made: queue.Queue[tuple[int, NetlinkSocket]] = queue.Queue(32)
        if self.threads == 2:
            maker = threading.Thread(target=self._make, args=(made,))
            maker.start()
            for number in range(self.count):
                self._link(number, *made.get())
            maker.join()
        else:
            _in_thread(self._alone)

    def _make(self, made: queue.Queue[tuple[int, NetlinkSocket]]) -> None:
        for _ in range(self.count):
            made.put(_namespace())

    def _alone(self) -> None:
        for number in range(self.count):
            self._link(number, *_namespace())

    def _link(self, number: int, fd: int, pod: NetlinkSocket) -> None:
        assert self.node is not None
        ip, mac = _address(number)
        self.node.try_all(
            [
                new_veth(
                    name=f"veth{number}",
                    index=16 + number,
                    mtu=1450,
                    master=BRIDGE,
                    peer="eth0",
                    peer_namespace=fd,
                    peer_index=2,
                    peer_mac=mac,
                ),
                bridge_port(16 + number, hairpin=True, answers_arp=True),
                add_port_entry(16 + number, mac),
                add_neighbour(BRIDGE, ip, mac),
            ]
        )
        pod.try_all(self.inside[number])
        pod.close()
        self.fds.append(fd)

    def _inside(self, number: int) -> list[bytes]:
        ip, _ = _address(number)
        return [
            set_link(2, link_local=False),
            set_link(1, up=True),
            set_link(2, up=True),
            add_address(2, f"{ip}/20"),
            add_neighbour(2, "10.244.0.1", BRIDGE_MAC),
            add_route("0.0.0.0/0", 2, gateway="10.244.0.1"),
        ]

    def remove(self) -> None:
        """All pairs at once, by group; then the namespaces."""
        assert self.node is not None
        self.node.try_all([set_link(16 + n, up=False, group=7) for n in range(self.count)])
        self.node.try_all([delete_group(7)])
        for fd in self.fds[1:]:
            os.close(fd)

    def close(self) -> None:
        assert self.node is not None
        self.node.close()
        os.close(self.fds[0])


class Netemu:
    """The product: fabric, node, holder, ledger, names."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.config = ClusterConfig(name="bench", node_cidr_mask=20)

    async def open(self) -> None:
        self.ledger = Ledger(self.config.run_dir)
        self.fabric = Fabric(self.config, self.ledger)
        await self.fabric.open()
        (node,) = await self.fabric.add(["node-1"])
        self.holder = NamespaceHolder(self.config.run_dir, self.ledger)
        await asyncio.to_thread(self.holder.open)
        self.pods = PodNetwork(
            self.config, "node-1", node.netns, holder=self.holder, ledger=self.ledger
        )
        await self.pods.configure(["10.244.0.0/20"])
        self.requests = [
            PodRequest(uid=f"uid-{n}", namespace="default", name=f"pod-{n}")
            for n in range(self.count)
        ]

    async def add(self) -> None:
        await self.pods.add(self.requests)

    async def remove(self) -> None:
        await self.pods.remove([request.uid for request in self.requests])

    def close(self) -> None:
        self.pods.close()
        self.fabric.close()
        self.holder.close()

    def down(self) -> None:
        report = cleanup.clean(self.config.run_dir)
        assert report.left == [], report.left


def run(counts: Sequence[int] = (100, 1000), rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds a pod, and ratios to the floor; seconds where the name says so."""
    figures: dict[str, float] = {}
    for count in counts:
        count = min(count, 1023)
        runs: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, seconds in _one_round(count).items():
                runs.setdefault(name, []).append(seconds)
        middle = {name: statistics.median(values) for name, values in runs.items()}
        for name in ("floor_1_thread", "floor_2_threads", "add", "floor_remove", "remove"):
            figures[f"{name}_ms_per_pod_{count}"] = round(middle[name] / count * 1000, 3)
        figures[f"add_ratio_{count}"] = round(middle["add"] / middle["floor_2_threads"], 2)
        figures[f"remove_ratio_{count}"] = round(middle["remove"] / middle["floor_remove"], 2)
        figures[f"down_seconds_{count}"] = round(middle["down"], 3)
        figures[f"down_gone_seconds_{count}"] = round(middle["gone"], 3)
    return figures | asyncio.run(_first_connections(min(max(counts), 1000)))


def _one_round(count: int) -> dict[str, float]:
    seconds = {}
    for threads, name in ((1, "floor_1_thread"), (2, "floor_2_threads")):
        floor = Floor(count, threads)
        floor.open()
        seconds[name] = _timed(floor.add)
        seconds["floor_remove"] = _timed(floor.remove)
        floor.close()
        settle()
    seconds |= asyncio.run(_netemu_round(count))
    return seconds


async def _first_connections(count: int) -> dict[str, float]:
    """First TCP connection to every pod of one node: from the node, and from one of the pods."""
    product = Netemu(count)
    await product.open()
    await product.add()
    pods = list(product.pods.sandboxes().values())
    listeners = []
    for pod in pods:
        listener = netns.socket_in(pod.netns, socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("", 80))
        listener.listen()
        listeners.append(listener)
    figures: dict[str, float] = {}
    for source, path in (("node", netns.path_of("bench.node-1")), ("pod", pods[0].netns)):
        addresses = [pod.ips[0] for pod in pods[1:]]
        times = await netns.await_in(path, lambda addresses=addresses: _connect_all(addresses))
        figures[f"first_connection_from_{source}_failed"] = len(addresses) - len(times)
        figures[f"first_connection_from_{source}_p50_us"] = round(statistics.median(times) * 1e6)
        p99 = times[int(len(times) * 0.99)]
        figures[f"first_connection_from_{source}_p99_us"] = round(p99 * 1e6)
    for listener in listeners:
        listener.close()
    product.close()
    await asyncio.to_thread(product.down)
    return figures


def _connect_all(addresses: Sequence[str]) -> list[float]:
    """Seconds of each connection that was made, sorted."""
    times = []
    for address in addresses:
        with socket.socket() as client:
            client.settimeout(3)
            start = time.perf_counter()
            with suppress(OSError):
                client.connect((address, 80))
                times.append(time.perf_counter() - start)
    return sorted(times)


async def _netemu_round(count: int) -> dict[str, float]:
    before = _namespaces()
    product = Netemu(count)
    await product.open()
    start = time.perf_counter()
    await product.add()
    added = time.perf_counter()
    await product.remove()
    removed = time.perf_counter()
    settle(before + 3)
    await product.add()
    product.close()
    down = time.perf_counter()
    await asyncio.to_thread(product.down)
    clean = time.perf_counter()
    settle(before)
    gone = time.perf_counter()
    return {
        "add": added - start,
        "remove": removed - added,
        "down": clean - down,
        "gone": gone - down,
    }


def _timed(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _namespaces() -> int:
    """Network namespaces that the kernel still has; also those that nobody can see any more."""
    for line in Path("/proc/slabinfo").read_text().splitlines():
        if line.startswith("net_namespace "):
            return int(line.split()[1])
    return 0


def settle(target: int = -1) -> None:
    """Wait until the kernel has freed what was let go: `target` left, or no more change."""
    last, since, deadline = _namespaces(), time.monotonic(), time.monotonic() + 20
    while time.monotonic() < deadline:
        now = _namespaces()
        if 0 <= now <= target:
            return
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > (0.3 if target < 0 else 3):
            return
        time.sleep(0.005)


def _namespace() -> tuple[int, NetlinkSocket]:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    return fd, NetlinkSocket("floor")


def _no_link_local() -> None:
    Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")


def _address(number: int) -> tuple[str, str]:
    high, low = divmod(number + 2, 256)
    return f"10.244.{high}.{low}", f"0a:58:0a:f4:{high:02x}:{low:02x}"


def _in_thread(function: Callable[[], T]) -> T:
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


if __name__ == "__main__":
    print(json.dumps(run([int(arg) for arg in sys.argv[1:]] or (100, 1000)), indent=2))
