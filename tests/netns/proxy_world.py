"""The scenarios' small world in real namespaces: nodes, pods, outside machines, real TCP and UDP.

No cluster runs here: a node's rules are put in by the very backends that NodeProxy uses, straight
from the scenario's objects. One process serves every pod: its sockets were born in their
namespaces.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netemu.node import netns, netns_directory
from netemu.node.conntrack import ConntrackTable
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymodes import open_backend
from scenarios import scenario

PREFIX = "ppw."
RUN = Path("/run/netemu")
DROP_AFTER = 0.4 * float(os.environ.get("NETEMU_SLOW", "1"))
"""Seconds without an answer that count as dropped."""
AT_LEAST = 2 if "NETEMU_SLOW" in os.environ else 8
"""Answers of a flow, or more: one endpoint too many must not stay unseen by chance."""
GIVE_UP = 60.0
MACHINES = {**scenario.NODES, **scenario.OUTSIDE}


def path_of(who: str) -> str:
    return netns.path_of(PREFIX + who)


def _ip(*commands: str, namespace: str = "") -> None:
    where = ["-n", PREFIX + namespace] if namespace else []
    text = "\n".join(commands)
    subprocess.run(["ip", *where, "-batch", "-"], input=text, text=True, check=True)


def _sysctl(who: str, **values: str) -> None:
    def write() -> None:
        for name, value in values.items():
            with open("/proc/sys/net/" + name.replace("__", "/"), "w") as file:
                file.write(value)

    netns.call_in(path_of(who), write)


def build() -> None:
    """Namespaces, links, addresses and routes; `destroy` takes them away."""
    names = ["fabric", *MACHINES, *scenario.PODS]
    with netns_directory.machine_lock(RUN):
        netns_directory.prepare(RUN)
    _ip(*(f"netns add {PREFIX}{name}" for name in names))
    for name in names:
        _ip("link set lo up", namespace=name)
    _ip(
        "link add br0 type bridge mcast_snooping 0",
        "addr add 172.30.0.1/24 dev br0",
        "addr add 172.31.0.1/24 dev br0",
        "link set br0 up",
        namespace="fabric",
    )
    for name, address in MACHINES.items():
        _ip(
            f"link add {name} type veth peer name eth0 netns {PREFIX}{name}",
            f"link set {name} master br0 up",
            namespace="fabric",
        )
        _ip(
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
            "route add default via 172.30.0.1",
            namespace=name,
        )
    for node, address in scenario.NODES.items():
        _node(node, address)
    for name in scenario.OUTSIDE:
        _outside(name)


def _node(node: str, address: str) -> None:
    _sysctl(
        node,
        ipv4__ip_forward="1",
        ipv4__conf__all__rp_filter="0",
        ipv4__conf__default__rp_filter="0",
        # Or after six refusals to one client the seventh looks like a drop.
        ipv4__icmp_ratelimit="0",
    )
    gateway = scenario.GATEWAYS[node]
    pods = {n: a for n, a in scenario.PODS.items() if scenario.node_of(n) == node}
    _ip(
        f"addr add {scenario.SECOND_ADDRESSES[node]}/24 dev eth0",
        "link add cni0 type bridge mcast_snooping 0",
        f"addr add {gateway}/24 dev cni0",
        "link set cni0 up",
        *(f"link add {n} type veth peer name eth0 netns {PREFIX}{n}" for n in pods),
        *(f"link set {n} master cni0 up" for n in pods),
        *(f"link set {n} type bridge_slave hairpin on" for n in pods),
        namespace=node,
    )
    for name, pod_address in pods.items():
        _ip(
            f"addr add {pod_address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {gateway}",
            namespace=name,
        )
    for other, other_address in scenario.NODES.items():
        if other != node:
            network = scenario.GATEWAYS[other].rsplit(".", 1)[0] + ".0/24"
            _ip(f"route add {network} via {other_address}", namespace=node)


def _outside(name: str) -> None:
    """To service addresses by way of node-1; one range by way of node-2."""
    _ip(
        "route add 172.31.0.0/24 dev eth0",
        "route add 10.244.1.0/24 via 172.30.0.2",
        "route add 10.244.2.0/24 via 172.30.0.3",
        "route add 10.96.0.0/12 via 172.30.0.2",
        "route add 203.0.113.0/24 via 172.30.0.2",
        "route add 198.51.100.0/24 via 172.30.0.3",
        namespace=name,
    )


def destroy() -> None:
    for name in ["fabric", *MACHINES, *scenario.PODS]:
        command = ["ip", "netns", "del", PREFIX + name]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    with netns_directory.machine_lock(RUN):
        netns_directory.give_back(RUN)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client saw. `verdict`: accept, reject or drop."""

    verdict: str
    endpoint: str = ""
    seen_source: str = ""


def _address_of(sock: socket.socket) -> str:
    return str(sock.getpeername()[0])


class Servers:
    """Listeners in pods: each answers with its endpoint and the address that it sees."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, int], socket.socket] = {}
        self._loop = asyncio.get_running_loop()

    def serve(self, wanted: Iterable[tuple[str, str, int]]) -> None:
        """Have exactly `wanted` (protocol, address, port) answer."""
        wanted = set(wanted)
        for key in set(self._open) - wanted:
            self._close(key)
        for key in sorted(wanted - set(self._open)):
            self._listen(key)

    def close(self) -> None:
        self.serve(())

    def _close(self, key: tuple[str, str, int]) -> None:
        sock = self._open.pop(key)
        self._loop.remove_reader(sock)
        sock.close()

    def _listen(self, key: tuple[str, str, int]) -> None:
        protocol, address, port = key
        who = next(n for n, a in scenario.ADDRESSES.items() if a == address)
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        sock = netns.socket_in(path_of(who), socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.setblocking(False)
        if protocol == "tcp":
            sock.listen(64)
        answer = self._accept if protocol == "tcp" else self._echo
        self._loop.add_reader(sock, answer, sock, f"{address}:{port}")
        self._open[key] = sock

    def _accept(self, listener: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            connection, peer = listener.accept()
            with connection:
                connection.send(f"{name} {peer[0]}".encode())

    def _echo(self, sock: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            _, peer = sock.recvfrom(2000)
            sock.sendto(f"{name} {peer[0]}".encode(), peer)


async def _exchange(sock: socket.socket, to: tuple[str, int], is_udp: bool) -> Reply:
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(sock, to)
        if is_udp:
            # What the node's own rules refuse fails in send as well; recv says how it was refused.
            with contextlib.suppress(PermissionError):
                await loop.sock_sendall(sock, b"?")
        name, _, seen = (await loop.sock_recv(sock, 200)).decode().partition(" ")
    except ConnectionRefusedError:
        return Reply("reject")
    except OSError:
        return Reply("drop")
    return Reply("accept", name, seen)


async def ask(flow: Any, wait: float) -> Reply:
    """One connection, or one datagram and its answer, as `flow` says."""
    is_udp = flow.protocol == "udp"
    kind = socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM
    sock = netns.socket_in(path_of(flow.who), socket.AF_INET, kind)
    with sock:
        sock.setblocking(False)
        # No TIME_WAIT: so many connections come from so few addresses.
        if not is_udp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if flow.source_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", flow.source_port))
        try:
            async with asyncio.timeout(wait):
                return await _exchange(sock, (flow.address, flow.port), is_udp)
        except TimeoutError:
            return Reply("drop")


class World:
    """Proxies of both nodes in one mode. They live on from case to case, as a real one does."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._proxies: dict[str, FamilyProxy] = {}

    async def apply(self, step: Any) -> None:
        """Bring both nodes to `step`, incrementally from what they hold."""
        for node in scenario.NODES:
            view, services = step.view(node), step.decided(node)
            proxy = self._proxies.get(node)
            if proxy is None:
                backend = open_backend(self.mode, path_of(node))
                proxy = self._proxies[node] = FamilyProxy(path_of(node), view, backend)
            elif proxy.view != view:
                proxy.view, proxy.needs_full = view, True
            gone: dict[str, tuple[Any, ...]]
            gone = {k: () for k in proxy.claims.asked if k not in services}
            await proxy.sync({**gone, **services})

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.backend.clean()
            proxy.close()
        self._proxies = {}


def endpoints_of(step: Any) -> set[tuple[str, str, int]]:
    """Every endpoint that some flow may reach, ready or not."""
    known = set(scenario.ADDRESSES.values())
    found = set()
    for obj in step.of_kind("EndpointSlice"):
        for raw in obj["endpoints"]:
            for port in obj["ports"]:
                if raw["addresses"][0] in known and port["protocol"] != "SCTP":
                    found.add((port["protocol"].lower(), raw["addresses"][0], port["port"]))
    return found


async def check_flow(flow: Any, attempts: Callable[[int], int]) -> None:
    """Send packets until every endpoint of `flow` has answered; fail on any other answer."""
    if flow.verdict in ("drop", "none"):
        reply = await ask(flow, DROP_AFTER)
        if flow.verdict == "drop":
            assert reply.verdict == "drop", f"{flow.line}: {reply}"
        elif reply.verdict == "accept":
            # Not translated: a packet to a pod's own address gets there by itself.
            assert reply.endpoint == f"{flow.address}:{flow.port}", f"{flow.line}: {reply}"
        return
    if flow.verdict == "reject":
        reply = await ask(flow, GIVE_UP)
        assert reply.verdict == "reject", f"{flow.line}: {reply}"
        return
    await _check_endpoints(flow, attempts)


async def _check_endpoints(flow: Any, attempts: Callable[[int], int]) -> None:
    missing: set[str] = set(flow.endpoints)
    seen: set[str] = set()
    for number in range(10 if flow.sticky else attempts(len(flow.endpoints))):
        reply = await ask(flow, GIVE_UP)
        assert reply.verdict == "accept", f"{flow.line}: {reply}"
        assert reply.endpoint in flow.endpoints, f"{flow.line}: {reply}"
        _check_source(flow, reply, flow.endpoints)
        seen.add(reply.endpoint)
        missing.discard(reply.endpoint)
        if not missing and not flow.sticky and number + 1 >= AT_LEAST:
            return
    if flow.sticky:
        assert len(seen) == 1, f"{flow.line}: several endpoints {seen}"
        return
    assert not missing, f"{flow.line}: never reached {missing}"


def _check_source(flow: Any, reply: Reply, endpoints: Mapping[str, bool]) -> None:
    """A pod or outside machine tells by its own address whether it was masqueraded."""
    if flow.who in scenario.NODES:
        return  # its address is the node's either way
    own = scenario.ADDRESSES[flow.who]
    kept = reply.seen_source == own
    assert kept != endpoints[reply.endpoint], f"{flow.line}: the server saw {reply.seen_source}"


def _forget_connections() -> None:
    """Have both nodes forget every TCP connection, also those that nobody ever answered.

    A SYN that no rule translated is remembered as that for two minutes. A later one of the same
    addresses and ports is taken for its retransmission: no rule of today would be asked.
    """
    for node in scenario.NODES:
        table = ConntrackTable(path_of(node))
        with contextlib.closing(table):
            table.apply_delete([e for e in table.observe_entries() if e.protocol == "tcp"])


async def check_step(step: Any, mode: str) -> None:
    """All flows of `step`: side by side, but for those that would take turns at an IPVS server.

    Its round robin gives two clients who alternate one endpoint each, for ever.
    """
    _forget_connections()
    flows = [
        f
        for f in step.flows
        if mode in f.modes and "packets" in f.witnesses and f.protocol != "sctp"
    ]
    in_turn = [f for f in flows if mode == "ipvs" and f.verdict == "accept"]
    async with asyncio.TaskGroup() as group:
        for flow in flows:
            if flow not in in_turn:
                group.create_task(check_flow(flow, lambda count: 60 * count))
        for flow in in_turn:
            await check_flow(flow, lambda count: 60 * count)
