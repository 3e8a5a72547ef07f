"""How long a TCP connect takes from pod to pod of one node: through its Services, and past them.

Each node is a namespace with a bridge `cni0` and two pods on it, as a cluster's nodes are; they
differ in their rules only. One process connects by all ways in turns, so whatever else the machine
does falls on all of them alike. Only connect() itself is timed: the three packets of a handshake
are handled inside that one system call.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from netemu.node import capabilities, netns, netns_directory
from netemu.overlay import masquerade

RUN = Path("/run/netemu")
CONNECTS = 100  # five ways at once, below the usual limit of open files
ROUNDS = int(os.environ.get("NETEMU_BENCH_ROUNDS", "20"))
NODE, PORT = "bench-node", 8080
NETWORK, SERVER, CLIENT, GATEWAY = "10.244.0.0/16", "10.244.1.10", "10.244.1.11", "10.244.1.1"
ONE_ADDRESS = "10.96.0.1"
TRACK = "table ip t { chain c { type filter hook prerouting priority 0; ct state invalid drop; }; }"
TRANSLATE = f"""table ip t {{ chain c {{ type nat hook prerouting priority -100;
    ip daddr {ONE_ADDRESS} tcp dport 80 dnat to {SERVER}:{PORT}; }}; }}"""


@dataclass(frozen=True, slots=True)
class Node:
    """A node with a pod that serves and one that connects; `overlay`: has the overlay's rules."""

    name: str
    rules: str = ""
    overlay: bool = True

    @property
    def server(self) -> str:
        return f"{self.name}-server"

    @property
    def client(self) -> str:
        return f"{self.name}-client"


PROXY = Node(NODE)
WITHOUT_PROXY = Node("bench-without")
BARE = Node("bench-bare", overlay=False)
TRACKED = Node("bench-tracked", TRACK, overlay=False)
SINGLE = Node("bench-single", TRANSLATE)
NODES = (PROXY, WITHOUT_PROXY, BARE, TRACKED, SINGLE)


def open_nodes() -> None:
    """All nodes and their pods; the proxy's rules come later, into NODE."""
    with netns_directory.machine_lock(RUN):
        netns_directory.prepare(RUN)
    for node in _nodes():
        _open(node)


@cache
def _nodes() -> list[Node]:
    """Those whose rules this kernel can hold: User Mode Linux has no nftables for IPv4."""
    present = {c.name for c in capabilities.probe() if c.present}
    return [node for node in NODES if not node.rules or "nftables" in present]


def _open(node: Node) -> None:
    for name in (node.name, node.server, node.client):
        netns.create(name).close()
    commands = [
        f"-n {node.name} link add cni0 type bridge",
        f"-n {node.name} addr add {GATEWAY}/24 dev cni0",
        f"-n {node.name} link set cni0 up",
    ]
    for pod, address, port in ((node.server, SERVER, "v0"), (node.client, CLIENT, "v1")):
        commands += [
            f"link add {port} netns {node.name} type veth peer name eth0 netns {pod}",
            f"-n {node.name} link set {port} master cni0 up",
            f"-n {pod} addr add {address}/24 dev eth0",
            f"-n {pod} link set eth0 up",
            f"-n {pod} route add default via {GATEWAY}",
        ]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    path = netns.path_of(node.name)
    netns.call_in(path, lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
    if node.overlay:
        wanted = masquerade.compile_rules(NETWORK, "10.244.1.0/24")
        restore = ["iptables-restore", "--noflush"]
        netns.run_blocking(path, restore, stdin=masquerade.diff(wanted, "").encode())
    if node.rules:
        netns.run_blocking(path, ["nft", "-f", "-"], stdin=node.rules.encode())


def close_nodes() -> None:
    for node in _nodes():
        for name in (node.client, node.server, node.name):
            netns.delete(netns.path_of(name))
    with netns_directory.machine_lock(RUN):
        netns_directory.give_back(RUN)


def measure(vip: str) -> dict[str, float]:
    """Microseconds of a TCP connect by five ways, and what the rules cost one that passes them.

    `connect`: through the Service `vip`. `direct`: on a node of the same cluster that has no proxy,
    only the overlay's masquerading. `single`: through one lone DNAT rule instead of the proxy's,
    the least that any proxy of this kind costs. `bare`: on a node without any rule at all, where
    the kernel does not even track connections; `tracked`: the same, but tracked. `beside_to_direct`
    compares a connect past the Service, under the proxy's rules, with a direct one. It has turns of
    its own: two ways to one server on one node would take each other's ports.
    """
    straight = (SERVER, PORT)
    direct = (WITHOUT_PROXY, straight)
    ways = {
        "connect": (PROXY, (vip, 80)),
        "direct": direct,
        "single": (SINGLE, (ONE_ADDRESS, 80)),
        "bare": (BARE, straight),
        "tracked": (TRACKED, straight),
    }
    times = _take_turns({way: to for way, to in ways.items() if to[0] in _nodes()})
    figures = {}
    for way, taken in times.items():
        figures[f"{way}_p50_us"] = _quantile(taken, 50)
        figures[f"{way}_p99_us"] = _quantile(taken, 99)
    for way in [way for way in times if way != "connect"]:
        figures[f"connect_to_{way}"] = figures["connect_p50_us"] / figures[f"{way}_p50_us"]
    past = _take_turns({"beside": (PROXY, straight), "direct": direct})
    figures["beside_to_direct"] = _quantile(past["beside"], 50) / _quantile(past["direct"], 50)
    return figures


def _quantile(times: list[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]


def _take_turns(ways: dict[str, tuple[Node, tuple[str, int]]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {way: [] for way in ways}
    order, shuffled = list(ways), random.Random(1)
    with ExitStack() as stack:
        listeners = {node.name: stack.enter_context(_listener(node)) for node in _nodes()}
        for _ in range(ROUNDS):
            clients = {way: _sockets(node) for way, (node, _) in ways.items()}
            for n in range(CONNECTS):
                # What comes after a way through no rules finds the rules' code out of the caches.
                for way in shuffled.sample(order, len(order)):
                    node, to = ways[way]
                    with clients[way][n] as client:
                        start = time.perf_counter_ns()
                        client.connect(to)
                        times[way].append((time.perf_counter_ns() - start) / 1e3)
                        listeners[node.name].accept()[0].close()
    return times


def _listener(node: Node) -> socket.socket:
    path = netns.path_of(node.server)
    listener = netns.socket_in(path, socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", PORT))
    listener.listen(16)
    return listener


def _sockets(node: Node) -> list[socket.socket]:
    """Made before any time is taken; closing resets, so that no TIME_WAIT remains."""

    def make() -> list[socket.socket]:
        made = [socket.socket() for _ in range(CONNECTS)]
        for sock in made:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return made

    return netns.call_in(netns.path_of(node.client), make)
