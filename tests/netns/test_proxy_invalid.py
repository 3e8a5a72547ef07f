"""A segment far outside a connection's window: who drops it, and what becomes of the connection.

Not translated back, as conntrack calls it INVALID, it reaches a client that knows no such
connection and answers with a RST, which ends the server's. kube-proxy's iptables mode drops it
therefore; its nftables mode does not. IPVS translates by a table of its own, and so back as well.
https://github.com/kubernetes/kubernetes/issues/74839
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

import proxy_world as world
from netemu.netstate.address import packed
from netemu.node import netns
from scenarios import scenario

pytestmark = pytest.mark.needs("veth", "bridge")
VIP, POD, CLIENT = "10.96.0.10", scenario.PODS["a1"], scenario.PODS["client"]
NEEDS = {"iptables": "iptables", "nftables": "nftables", "flat": "nftables", "ipvs": "ipvs"}
MODES = [pytest.param(mode, marks=pytest.mark.needs(need)) for mode, need in NEEDS.items()]
BEYOND = 1 << 30
_ETHERNET, _IPV4 = 14, 0x0800
_PUSH_ACK = 0x18


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A TCP segment over IPv4. RFC 9293, RFC 791"""

    source: str
    destination: str
    source_port: int
    destination_port: int
    sequence: int
    acknowledged: int
    payload: bytes

    def encode(self) -> bytes:
        """The whole packet; a raw socket fills in IP's length and checksum."""
        ports = (self.source_port, self.destination_port)
        numbers = (self.sequence, self.acknowledged)
        tcp = struct.pack(">HHIIBBHHH", *ports, *numbers, 5 << 4, _PUSH_ACK, 1024, 0, 0)
        addresses = packed(self.source) + packed(self.destination)
        length = len(tcp) + len(self.payload)
        pseudo = addresses + struct.pack(">HH", socket.IPPROTO_TCP, length)
        checksum = _checksum(pseudo + tcp + self.payload).to_bytes(2, "big")
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_TCP, 0)
        return ip + addresses + tcp[:16] + checksum + tcp[18:] + self.payload

    @staticmethod
    def parse(packet: bytes) -> Segment | None:
        """None for what is not TCP."""
        if packet[9] != socket.IPPROTO_TCP:
            return None
        head, (length,) = (packet[0] & 15) * 4, struct.unpack_from(">H", packet, 2)
        ports = struct.unpack_from(">HH", packet, head)
        numbers = struct.unpack_from(">II", packet, head + 4)
        return Segment(
            source=socket.inet_ntoa(packet[12:16]),
            destination=socket.inet_ntoa(packet[16:20]),
            source_port=ports[0],
            destination_port=ports[1],
            sequence=numbers[0],
            acknowledged=numbers[1],
            payload=packet[head + (packet[head + 12] >> 4) * 4 : length],
        )


def _checksum(data: bytes) -> int:
    """The Internet checksum, RFC 1071."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


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

    def segment(self, payload: bytes) -> tuple[Segment, list[Segment]]:
        """The segment with `payload` as the client's interface saw it, and all before it."""
        seen: list[Segment] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            segment = Segment.parse(self.wire.recv(2000)[_ETHERNET:])
            if segment is not None and segment.destination == CLIENT:
                seen.append(segment)
                if segment.payload == payload:
                    return segment, seen
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
            sock.settimeout(60)
        client.connect((VIP, 80))
        server, _ = listener.accept()
    server.settimeout(60)
    return Connection(client, server, wire)


def inject(who: str, segment: Segment) -> None:
    with netns.socket_in(
        world.path_of(who), socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW
    ) as raw:
        raw.sendto(segment.encode(), (segment.destination, 0))


@pytest.mark.parametrize("mode", MODES)
async def test_a_segment_outside_the_window(built: None, mode: str) -> None:
    case = next(c for c in scenario.every() if c.name == "hairpin")  # a1 and a2 on node-1
    proxies = world.World(mode)
    await proxies.apply(only_a1(case.steps[0]))
    made = open_connection()
    with made.client, made.server, made.wire:
        made.server.sendall(b"before")
        sample, _ = made.segment(b"before")
        assert sample.source == VIP
        beyond = (sample.sequence + BEYOND) % (1 << 32)
        stray = replace(sample, source=POD, source_port=8080, sequence=beyond, payload=b"stray")
        inject("a1", stray)
        if mode in ("nftables", "flat"):
            late, _ = made.segment(b"stray")
            assert late.source == POD, "not translated back"
        else:
            if mode == "ipvs":
                late, _ = made.segment(b"stray")
                assert late.source == VIP
            made.server.sendall(b"after")
            _, seen = made.segment(b"after")
            assert all(segment.payload != b"stray" for segment in seen)
            assert made.client.recv(11, socket.MSG_WAITALL) == b"beforeafter"
    await proxies.close()


def only_a1(step: Any) -> Any:
    """`step` with one endpoint."""
    objects = []
    for obj in step.objects:
        if obj["kind"] == "EndpointSlice":
            obj = {**obj, "endpoints": obj["endpoints"][:1]}
        objects.append(obj)
    return replace(step, objects=tuple(objects))
