"""Real IPv6 packets through each mode's rules: one node, two pods on it, a machine outside."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netemu.node import netns, netns_directory
from netemu.node.proxyfamily import FamilyProxy
from netemu.node.proxymodes import open_backend
from netemu.proxy.endpoints import Service, decide
from netemu.proxy.model import Endpoint, NodeView, ServicePort

pytestmark = pytest.mark.needs("veth")
RUN = Path("/run/netemu")
NODE, OUT = "six-node", "six-out"
NODE_ADDRESS, OUT_ADDRESS = "fd00:30::2", "fd00:30::100"
PODS = {"six-a": "fd00:10:244:1::a", "six-b": "fd00:10:244:1::b"}
ADDRESSES = {NODE: NODE_ADDRESS, OUT: OUT_ADDRESS, **PODS}
VIEW = NodeView(
    name="node-1",
    family=6,
    address=NODE_ADDRESS,
    addresses=(NODE_ADDRESS,),
    local_cidr="fd00:10:244::/56",
    service_cidrs=("fd00:10:96::/112",),
)
PLAIN = ServicePort(namespace="d", name="web", cluster_ip="fd00:10:96::10", port=80)
OUTSIDE = replace(PLAIN, node_port=30080, external_ips=("2001:db8::1",))
A, B = (Endpoint(address, 8080, "node-1") for address in PODS.values())
NEEDS = {"iptables": "iptables", "nftables": "nftables", "flat": "nftables", "ipvs": "ipvs"}
MODES = [pytest.param(mode, marks=pytest.mark.needs(need)) for mode, need in NEEDS.items()]


@pytest.fixture
def path() -> Iterator[str]:
    """The node's namespace, with everything around it."""
    with netns_directory.machine_lock(RUN):
        netns_directory.prepare(RUN)
    for name in ADDRESSES:
        netns.create(name).close()
    commands = [f"-n {NODE} link set lo up"]
    for name, address in {OUT: OUT_ADDRESS, **PODS}.items():
        # To each neighbour a link of its own; the gateway has a link-local address everywhere.
        commands += [
            f"link add {name} netns {NODE} type veth peer name eth0 netns {name}",
            f"-n {NODE} addr add fe80::1/64 dev {name} nodad",
            f"-n {NODE} link set {name} up",
            f"-n {name} addr add {address}/128 dev eth0 nodad",
            f"-n {name} link set eth0 up",
            f"-n {NODE} route add {address} dev {name}",
            f"-n {name} route add default via fe80::1 dev eth0",
        ]
    commands.append(f"-n {NODE} addr add {NODE_ADDRESS}/128 dev lo")
    commands.append(f"-n {NODE} route add default dev {OUT}")
    for command in commands:
        subprocess.run(["ip", "-6", *command.split()], check=True)

    def forward() -> None:
        for name, value in (("conf/all/forwarding", "1"), ("icmp/ratelimit", "0")):
            Path(f"/proc/sys/net/ipv6/{name}").write_text(value)

    netns.call_in(netns.path_of(NODE), forward)
    yield netns.path_of(NODE)
    for name in ADDRESSES:
        netns.delete(netns.path_of(name))
    with netns_directory.machine_lock(RUN):
        netns_directory.give_back(RUN)


@contextlib.contextmanager
def servers() -> Iterator[dict[socket.socket, str]]:
    with contextlib.ExitStack() as stack:
        held = {}
        for name, address in PODS.items():
            sock = netns.socket_in(netns.path_of(name), socket.AF_INET6, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stack.enter_context(sock).bind((address, 8080))
            sock.listen(64)
            held[sock] = name
        yield held


def connect(
    who: str, address: str, port: int, held: dict[socket.socket, str], wait: float = 60.0
) -> str:
    """`six-a SOURCE` for the pod that answered and the source that it saw; reject; drop.

    A refusal that comes while connect() still holds the socket counts with the next SYN only.
    """
    with netns.socket_in(netns.path_of(who), socket.AF_INET6, socket.SOCK_STREAM) as client:
        client.settimeout(wait)
        try:
            client.connect((address, port))
        except TimeoutError:
            return "drop"
        except ConnectionRefusedError:
            return "reject"
        ready, _, _ = select.select(list(held), [], [], 60)
        accepted, peer = ready[0].accept()
        accepted.close()
        return f"{held[ready[0]]} {peer[0]}"


def all_of(who: str, address: str, port: int) -> set[str]:
    """What 24 connections get: with two endpoints, all but 1 in 8 million times both."""
    with servers() as held:
        return {connect(who, address, port, held) for _ in range(24)}


async def programmed(path: str, mode: str, *ports: ServicePort, view: NodeView = VIEW) -> None:
    proxy = FamilyProxy(path, view, open_backend(mode, path, 6))
    endpoints = {"web": (A, B), "one": (A,), "void": ()}
    await proxy.sync({f"d/{p.name}": (_service(p, endpoints[p.name], view),) for p in ports})
    assert not proxy.left_out
    proxy.close()


def _service(port: ServicePort, endpoints: tuple[Endpoint, ...], view: NodeView) -> Service:
    return Service(port, decide(port, endpoints, view))


@pytest.mark.parametrize("mode", MODES)
async def test_a_cluster_ip_keeps_a_pods_source_and_masquerades_hairpins(
    path: str, mode: str
) -> None:
    await programmed(path, mode, PLAIN)
    assert all_of("six-a", "fd00:10:96::10", 80) == {
        f"six-a {NODE_ADDRESS}",  # itself
        f"six-b {PODS['six-a']}",
    }
    assert all_of(OUT, "fd00:10:96::10", 80) == {f"six-a {NODE_ADDRESS}", f"six-b {NODE_ADDRESS}"}


@pytest.mark.parametrize("mode", MODES)
async def test_node_port_and_external_address_from_outside(path: str, mode: str) -> None:
    await programmed(path, mode, OUTSIDE)
    both = {f"six-a {NODE_ADDRESS}", f"six-b {NODE_ADDRESS}"}
    assert all_of(OUT, NODE_ADDRESS, 30080) == both
    assert all_of(OUT, "2001:db8::1", 80) == both


@pytest.mark.parametrize("mode", MODES)
async def test_local_policy_keeps_the_source(path: str, mode: str) -> None:
    await programmed(path, mode, replace(OUTSIDE, external_local=True))
    assert all_of(OUT, NODE_ADDRESS, 30080) == {f"six-a {OUT_ADDRESS}", f"six-b {OUT_ADDRESS}"}


@pytest.mark.parametrize("mode", MODES)
async def test_affinity_stays_with_one_endpoint(path: str, mode: str) -> None:
    await programmed(path, mode, replace(PLAIN, affinity_seconds=60))
    assert len({answer.split()[0] for answer in all_of(OUT, "fd00:10:96::10", 80)}) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_without_endpoints_connections_are_refused(path: str, mode: str) -> None:
    void = replace(OUTSIDE, name="void")
    await programmed(path, mode, void)
    assert connect("six-a", "fd00:10:96::10", 80, {}) == "reject"
    assert connect(OUT, NODE_ADDRESS, 30080, {}) == "reject"


@pytest.mark.parametrize("mode", MODES)
async def test_source_ranges_drop_everyone_else(path: str, mode: str) -> None:
    port = replace(PLAIN, name="one", load_balancer_ips=("2001:db8::1",))
    allowed = replace(port, source_ranges=("fd00:30::/64",))
    await programmed(path, mode, allowed)
    assert all_of(OUT, "2001:db8::1", 80) == {f"six-a {NODE_ADDRESS}"}
    await programmed(path, mode, replace(port, source_ranges=("2001:db8:7::/48",)))
    with servers() as held:
        assert connect(OUT, "2001:db8::1", 80, held, 0.5) == "drop"
