"""A segment far outside a connection's window: who drops it, and what becomes of the connection.

Not translated back, as conntrack calls it INVALID, it reaches a client that knows no such
connection and answers with a RST, which ends the server's. kube-proxy's iptables mode drops it
therefore; its nftables and IPVS modes do not.
https://github.com/kubernetes/kubernetes/issues/74839
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP

import proxy_world as world
from netemu.node import netns
from scenarios import scenario

pytestmark = pytest.mark.needs("veth", "bridge")
VIP, POD, CLIENT = "10.96.0.10", scenario.PODS["a1"], scenario.PODS["client"]
NEEDS = {"iptables": "iptables", "nftables": "nftables", "flat": "nftables", "ipvs": "ipvs"}
MODES = [pytest.param(mode, marks=pytest.mark.needs(need)) for mode, need in NEEDS.items()]
BEYOND = 1 << 30
_ETHERNET, _IPV4 = 14, 0x0800


@pytest.fixture
def built() -> Iterator[None]:
    world.destroy()
    world.build()
    yield
    world.destroy()


@dataclass
class Connection:
    """From the client pod through the Service to pod a1, and what arrives at the client."""

    client: socket.socket
    server: socket.socket
    wire: socket.socket

    def segment(self, payload: bytes) -> Any:
        """The segment with `payload` as the client's interface saw it, and all before it."""
        seen, deadline = [], time.monotonic() + 5
        while time.monotonic() < deadline:
            packet = IP(self.wire.recv(2000)[_ETHERNET:])
            if TCP in packet and packet.dst == CLIENT:
                seen.append(packet)
                if bytes(packet[TCP].payload) == payload:
                    return packet, seen
        raise AssertionError(f"{payload!r} never came; {seen}")


def open_connection() -> Connection:
    wire = netns.socket_in(
        world.path_of("client"), socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4)
    )
    wire.bind(("eth0", _IPV4))
    client = netns.socket_in(world.path_of("client"), socket.AF_INET, socket.SOCK_STREAM)
    with netns.socket_in(world.path_of("a1"), socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((POD, 8080))
        listener.listen()
        for sock in (wire, client, listener):
            sock.settimeout(5)
        client.connect((VIP, 80))
        server, _ = listener.accept()
    server.settimeout(5)
    return Connection(client, server, wire)


def inject(who: str, packet: Any) -> None:
    with netns.socket_in(
        world.path_of(who), socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW
    ) as raw:
        raw.sendto(bytes(packet), (packet.dst, 0))


@pytest.mark.parametrize("mode", MODES)
async def test_a_segment_outside_the_window(built: None, mode: str) -> None:
    case = next(c for c in scenario.every() if c.name == "hairpin")  # a1 and a2 on node-1
    proxies = world.World(mode)
    await proxies.apply(only_a1(case.steps[0]))
    made = open_connection()
    with made.client, made.server, made.wire:
        made.server.sendall(b"before")
        sample, _ = made.segment(b"before")
        assert sample.src == VIP
        tcp = sample[TCP]
        stray = IP(src=POD, dst=CLIENT) / TCP(
            sport=8080, dport=tcp.dport, seq=(tcp.seq + BEYOND) % (1 << 32), ack=tcp.ack, flags="PA"
        )
        inject("a1", stray / b"stray")
        if mode == "iptables":
            made.server.sendall(b"after")
            _, seen = made.segment(b"after")
            assert all(bytes(p[TCP].payload) != b"stray" for p in seen)
            assert made.client.recv(11, socket.MSG_WAITALL) == b"beforeafter"
        else:
            late, _ = made.segment(b"stray")
            assert late.src == POD, "not translated back"
    await proxies.close()


def only_a1(step: Any) -> Any:
    """`step` with one endpoint."""
    objects = []
    for obj in step.objects:
        if obj["kind"] == "EndpointSlice":
            obj = {**obj, "endpoints": obj["endpoints"][:1]}
        objects.append(obj)
    return replace(step, objects=tuple(objects))
