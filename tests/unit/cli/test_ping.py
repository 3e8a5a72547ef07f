"""Echo packets, the pairs of `pingall`, and how results are shown."""

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.cli import icmp
from netemu.cli.matrix import matrix
from netemu.cli.neighbours import are_many, share_a_bridge
from netemu.cli.pingall import _percent, pairs, report
from netemu.cli.prober import Echo, Peer

POD_A = Peer(label="default/a", netns="/run/netns/c.default.a", address="10.244.0.2")
POD_B = Peer(label="default/b", netns="/run/netns/c.default.b", address="10.244.1.2")
NODE = Peer(label="node/n1", netns="/run/netns/c.n1", address="172.30.0.2")
HOST = Peer(label="host/client", netns="/run/netns/c.client", address="172.30.0.9")


def test_a_request_is_what_ping_sends() -> None:
    """The checksum worked out by hand: the words add up to 0x2645 (RFC 1071)."""
    packet = icmp.request(4, 0x1234, 1, bytes(range(8)))
    assert packet.hex() == "0800" + "d9ba" + "12340001" + "0001020304050607"


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=64))
def test_the_checksum_of_a_whole_packet_is_zero(
    identifier: int, sequence: int, payload: bytes
) -> None:
    packet = icmp.request(4, identifier, sequence, payload)
    assert icmp._checksum(packet) == 0


def ipv4(payload: bytes, ttl: int = 62) -> bytes:
    source, target = (socket.inet_aton(a) for a in ("10.244.1.2", "10.244.0.2"))
    return (
        bytes([0x45, 0, 0, 20 + len(payload), 0, 0, 0, 0, ttl, 1, 0, 0]) + source + target + payload
    )


def test_replies_and_errors_are_read() -> None:
    reply = b"\x00\x00\x00\x00" + b"\x12\x34\x00\x07" + b"data"
    assert icmp.parse(4, ipv4(reply)) == icmp.Answer(0x1234, 7, ttl=62)
    request = icmp.request(4, 0x1234, 7, b"")
    refused = b"\x03\x01" + bytes(6) + ipv4(request)
    assert icmp.parse(4, ipv4(refused)) == icmp.Answer(0x1234, 7, error="host unreachable")
    assert icmp.parse(4, ipv4(request)) is None, "somebody else's request"
    assert icmp.parse(6, b"\x81\x00\x00\x00\x12\x34\x00\x07") == icmp.Answer(0x1234, 7)
    unreachable = b"\x01\x03" + bytes(6) + bytes(40) + icmp.request(6, 0x1234, 7, b"")
    assert icmp.parse(6, unreachable) == icmp.Answer(0x1234, 7, error="address unreachable")


@given(st.binary(min_size=20, max_size=120), st.sampled_from([4, 6]))
def test_any_packet_can_be_read(packet: bytes, family: int) -> None:
    icmp.parse(family, packet)


def test_pairs_leave_out_what_a_cluster_does_not_route() -> None:
    found = list(pairs([POD_A, POD_B, NODE], [HOST]))
    assert len(found) == len(set(found)) == 4 * 3 - 2
    assert (POD_A, HOST) in found and (HOST, NODE) in found
    assert (HOST, POD_A) not in found and (HOST, POD_B) not in found
    assert all(source != target for source, target in found)


def test_the_matrix() -> None:
    cells = {("a", "b"): "ok", ("b", "a"): "X"}
    lines = matrix(["a", "b"], lambda s, t: cells.get((s, t), "-"))
    assert lines == ["    1  2", "1 a - ok", "2 b X  -"]


def test_the_report_is_json() -> None:
    echoes = [
        Echo(source=POD_A, target=POD_B, ms=0.12345, ttl=62),
        Echo(source=POD_B, target=POD_A, error="no answer in 1 s"),
    ]
    found = json.loads(json.dumps(report(echoes, 0.5)))
    assert (found["sent"], found["received"], found["dropped"]) == (2, 1, 1)
    assert found["pairs"][0]["ms"] == 0.123
    assert found["pairs"][1] == {
        "from": "default/b",
        "to": "default/a",
        "address": "10.244.0.2",
        "ms": None,
        "error": "no answer in 1 s",
    }


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 12, "0"), (1, 12, "8"), (12, 12, "100"), (1, 1000, "<1")]
)
def test_a_drop_is_never_rounded_away(part: int, whole: int, text: str) -> None:
    assert _percent(part, whole) == text


def test_many_pods_of_one_node_are_too_many_neighbours() -> None:
    def on(node: str, count: int) -> list[Peer]:
        return [
            Peer(label=f"{node}/{i}", netns="", address=f"10.244.{node}.{i}", bridge=node)
            for i in range(count)
        ]

    assert not are_many(list(pairs(on("1", 20) + [NODE], [HOST])))
    assert are_many(list(pairs(on("1", 21), [])))
    spread = [peer for node in range(40) for peer in on(str(node), 2)]
    assert not are_many(list(pairs(spread, []))), "pods of different nodes meet no ARP"
    assert not share_a_bridge((NODE, HOST))
