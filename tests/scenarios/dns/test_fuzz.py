"""Hypothesis over the socket: whatever comes, the reply is none or well-formed, and it lives on.

`scripts/fuzz-dns` does the same for minutes.
"""

from __future__ import annotations

import dns.exception
import dns.message
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOOD = b"\x7f\x7f\1\0\0\1\0\0\0\0\0\0\3web\5alpha\3svc\7cluster\5local\0\0\1\0\1"

SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Peer:
    """One socket; each message is followed by a good one, whose answer ends the waiting."""

    def __init__(self, resolver) -> None:
        import socket

        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(60)
        self.socket.connect((resolver.address, resolver.port))

    def replies(self, data: bytes) -> list[bytes]:
        self.socket.send(data)
        self.socket.send(GOOD)
        found = []
        while True:
            reply = self.socket.recv(65535)
            if reply[:2] == GOOD[:2] and data[:2] != GOOD[:2]:
                return found
            found.append(reply)


@pytest.fixture(scope="module")
def peer(keep_resolver):
    text = (
        ".:53 {\n any\n chaos\n loadbalance\n bufsize\n"
        " kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n }\n}\n"
    )
    made = Peer(keep_resolver(text))
    yield made
    made.socket.close()


def check(data: bytes, replies: list[bytes]) -> None:
    assert len(replies) <= 1
    for reply in replies:
        assert reply[:2] == data[:2]
        assert reply[2] & 0x80
        assert len(reply) >= 12
        if len(reply) > 12:
            dns.message.from_wire(reply)


@SETTINGS
@given(st.binary(max_size=300).filter(lambda data: data[:2] != GOOD[:2]))
def test_any_bytes(peer, data):
    check(data, peer.replies(data))


NAMES = st.lists(st.binary(min_size=1, max_size=63), max_size=5).map(
    lambda labels: b"".join(bytes([len(label)]) + label for label in labels)
)
TAILS = st.sampled_from(
    [b"\0", b"\5alpha\3svc\7cluster\5local\0", b"\3svc\7cluster\5local\0", b"\7in-addr\4arpa\0"]
)


@SETTINGS
@given(
    NAMES, TAILS, st.integers(0, 65535), st.sampled_from([1, 3, 255]), st.integers(0, 65535),
    st.booleans(),
)  # fmt: skip
def test_well_formed_questions_of_any_kind(peer, name, tail, qtype, qclass, flags, edns):
    flags &= 0x01FF
    data = b"\1\2" + flags.to_bytes(2, "big") + b"\0\1\0\0\0\0\0" + bytes([edns])
    data += name + tail + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
    data += b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if edns else b""
    replies = peer.replies(data)
    assert len(replies) == 1
    check(data, replies)
    if len(name + tail) > 255:
        assert replies[0][3] & 15 == 1
    else:
        assert replies[0][12 : 12 + len(name + tail)] == name + tail


@SETTINGS
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(12, len(GOOD)))
def test_one_octet_changed_and_cut(peer, at, octet, end):
    data = bytearray(b"\1\1" + GOOD[2:])
    data[at] = octet
    if bytes(data[:2]) != GOOD[:2]:
        check(bytes(data[:end]), peer.replies(bytes(data[:end])))
