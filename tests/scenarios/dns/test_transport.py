"""Transport and malformed input: truncation, EDNS, TCP, what is refused and what is ignored."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

ZONE = "svc.cluster.local."


@pytest.fixture(scope="module")
def big(keep_resolver, tmp_path_factory):
    """Headless Services of 120 and 400 endpoints, the longest names, ports for the full glue."""
    path = tmp_path_factory.mktemp("objects") / "big.json"
    label = "x" * 63
    items = [
        headless("h120", 120, 1),
        headless("h400", 400, 2),
        headless(label, 1, 3, hostname=label),
    ]
    path.write_text(json.dumps({"kind": "List", "items": [obj for pair in items for obj in pair]}))
    corefile = ".:53 {\n kubernetes cluster.local {\n ttl 30\n }\n loadbalance\n}\n"
    return keep_resolver(corefile, objects=[path])


def headless(name: str, count: int, net: int, hostname: str = "") -> list[dict]:
    endpoints = [
        {"addresses": [f"10.{net}.{i // 250}.{i % 250 + 1}"], "conditions": {"ready": True}}
        for i in range(count)
    ]
    if hostname:
        endpoints[0]["hostname"] = hostname
    service = {
        "kind": "Service",
        "metadata": {"name": name, "namespace": "big"},
        "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]},
    }
    slice_ = {
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"s-{net}",
            "namespace": "big",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80}],
        "endpoints": endpoints,
    }
    return [service, slice_]


def udp(resolver, name: str, kind: str = "A", size: int | None = None) -> tuple:
    query = dns.message.make_query(name, kind)
    if size is not None:
        query.use_edns(0, payload=size)
    data = resolver.raw(query.to_wire())
    return data, dns.message.from_wire(data)


def count(message) -> int:
    return sum(len(rrset) for rrset in message.answer)


@pytest.mark.parametrize(
    ("size", "most"), [(None, 512), (100, 512), (512, 512), (1232, 1232), (1400, 1400)]
)
def test_what_does_not_fit_is_cut_at_a_record(big, size, most):
    data, reply = udp(big, f"h120.big.{ZONE}", size=size)
    assert reply.flags & dns.flags.TC
    assert most - 16 - 11 <= len(data) <= most
    assert 0 < count(reply) < 120


def test_29_of_120_addresses_fit_into_512_octets(big):
    data, reply = udp(big, f"h120.big.{ZONE}")
    question = 12 + len(f"h120.big.{ZONE}") + 1 + 4
    assert count(reply) == (512 - question) // 16
    assert len(data) == question + 16 * count(reply)


def test_a_large_edns_size_takes_all(big):
    _, reply = udp(big, f"h120.big.{ZONE}", size=4096)
    assert not reply.flags & dns.flags.TC
    assert count(reply) == 120


@pytest.mark.parametrize("kind", ["A", "SRV"])
def test_400_endpoints_over_tcp_are_whole(big, kind):
    query = dns.message.make_query(f"h400.big.{ZONE}", kind)
    reply = dns.query.tcp(query, big.address, port=big.port, timeout=60)
    assert not reply.flags & dns.flags.TC
    assert count(reply) == 400
    if kind == "SRV":
        assert sum(len(rrset) for rrset in reply.additional) == 400
        targets = {rdata.target for rrset in reply.answer for rdata in rrset}
        assert targets == {rrset.name for rrset in reply.additional}
        assert {rdata.weight for rrset in reply.answer for rdata in rrset} == {1}


def test_labels_of_63_octets(big):
    label = "x" * 63
    name = f"{label}.{label}.big.{ZONE}"
    _, reply = udp(big, name, size=4096)
    assert [r.address for rrset in reply.answer for r in rrset] == ["10.3.0.1"]
    _, reply = udp(big, f"_http._tcp.{label}.big.{ZONE}", "SRV", size=4096)
    assert [str(r.target) for rrset in reply.answer for r in rrset] == [name]


def test_a_name_of_255_octets_does_not_exist(big):
    label = "y" * 63
    name = f"{label}.{label}.{label}.{'z' * 43}.{ZONE}"
    assert len(dns.name.from_text(name).to_wire()) == 255
    _, reply = udp(big, name)
    assert reply.rcode() == dns.rcode.NXDOMAIN


def test_the_first_address_is_each_equally_often(big):
    seen: dict[str, int] = {}
    for _ in range(240):
        _, reply = udp(big, f"h120.big.{ZONE}", size=4096)
        first = next(iter(reply.answer[0])).address
        seen[first] = seen.get(first, 0) + 1
    assert len(seen) > 12, seen
    assert max(seen.values()) < 60


@pytest.mark.parametrize("name", ["web.alpha.svc", "absent.alpha.svc"])
def test_the_soa_has_the_zone_as_it_was_spelt(resolver_of, name):
    query = dns.message.make_query(f"{name}.CLUSTER.local.", "AAAA")
    reply = dns.message.from_wire(resolver_of("kubeadm").raw(query.to_wire()))
    (soa,) = reply.authority
    assert soa.name.labels == (b"CLUSTER", b"local", b"")


class TestEdns:
    def ask(self, resolver, **edns):
        query = dns.message.make_query(f"web.alpha.{ZONE}", "A")
        query.use_edns(**edns)
        return dns.message.from_wire(resolver.raw(query.to_wire()))

    def test_opt_answers_opt(self, resolver_of):
        reply = self.ask(resolver_of("kubeadm"), edns=0, payload=1232)
        assert (reply.edns, reply.options) == (0, ())

    def test_none_without(self, resolver_of):
        query = dns.message.make_query(f"web.alpha.{ZONE}", "A")
        reply = dns.message.from_wire(resolver_of("kubeadm").raw(query.to_wire()))
        assert reply.edns == -1

    def test_do_is_echoed(self, resolver_of):
        reply = self.ask(resolver_of("kubeadm"), edns=0, ednsflags=dns.flags.DO)
        assert reply.ednsflags & dns.flags.DO

    @pytest.mark.parametrize(
        "option",
        [
            dns.edns.GenericOption(10, b"12345678"),
            dns.edns.GenericOption(3, b""),
            dns.edns.GenericOption(65001, b"whatever"),
        ],
        ids=["cookie", "empty nsid", "unknown"],
    )
    def test_options_are_ignored(self, resolver_of, option):
        reply = self.ask(resolver_of("kubeadm"), edns=0, options=[option])
        assert reply.rcode() == dns.rcode.NOERROR
        assert reply.options == ()

    def test_version_1_is_badvers(self, resolver_of):
        query = dns.message.make_query(f"web.alpha.{ZONE}", "A")
        data = query.to_wire()
        data = data[:10] + b"\0\1" + data[12:] + b"\0\0\x29\x10\0\0\1\0\0\0\0"
        reply = dns.message.from_wire(resolver_of("kubeadm").raw(data))
        assert reply.rcode() == dns.rcode.BADVERS
        assert reply.edns == 0
        assert not reply.answer


def header(number=0x1234, flags=0x0100, counts=(1, 0, 0, 0)) -> bytes:
    return struct.pack(">HH4H", number, flags, *counts)


QUESTION = b"\3web\5alpha\3svc\7cluster\5local\0\0\1\0\1"

MALFORMED = {
    "no question": header(counts=(0, 0, 0, 0)),
    "two questions": header(counts=(2, 0, 0, 0)) + QUESTION * 2,
    "two answers": header(counts=(1, 2, 0, 0)) + QUESTION,
    "two authorities": header(counts=(1, 0, 2, 0)) + QUESTION,
    "three additionals": header(counts=(1, 0, 0, 3)) + QUESTION,
    "cut name": header() + QUESTION[:10],
    "cut type": header() + QUESTION[:-2],
    "pointer loop": header() + b"\xc0\x0c\0\1\0\1",
    "pointer chain": header() + b"\3web\xc0\x0c\0\1\0\1",
    "label type 01": header() + b"\x41" + b"a" * 65 + b"\0\0\1\0\1",
    "label type 10": header() + b"\x81" + b"a" * 65 + b"\0\0\1\0\1",
    "name over 255": header() + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    "cut additional": header(counts=(1, 0, 0, 1)) + QUESTION + b"\0\0\x29",
    "two OPT": header(counts=(1, 0, 0, 2)) + QUESTION + b"\0\0\x29\x10\0\0\0\0\0\0\0" * 2,
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_gets_formerr_and_a_bare_header(resolver_of, data):
    reply = resolver_of("kubeadm").raw(data)
    assert reply is not None
    assert len(reply) == 12
    assert reply[:2] == data[:2]
    assert reply[2] & 0x80
    assert reply[3] & 15 == dns.rcode.FORMERR


@pytest.mark.parametrize("opcode", [1, 2, 5], ids=["IQUERY", "STATUS", "UPDATE"])
def test_other_opcodes_get_notimp(resolver_of, opcode):
    reply = resolver_of("kubeadm").raw(header(flags=opcode << 11) + QUESTION)
    assert reply[3] & 15 == dns.rcode.NOTIMP
    assert reply[2] >> 3 & 15 == opcode


def test_notify_is_taken_as_a_query(resolver_of):
    reply = resolver_of("kubeadm").raw(header(flags=4 << 11) + QUESTION)
    assert reply[3] & 15 == dns.rcode.NOERROR


@pytest.mark.parametrize(
    "data", [b"", b"\0", header()[:11], header(flags=0x8100) + QUESTION],
    ids=["empty", "one octet", "eleven octets", "a response"],
)  # fmt: skip
def test_silence(resolver_of, data):
    resolver = resolver_of("kubeadm")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((resolver.address, resolver.port))
        sock.settimeout(60)
        sock.send(data)
        sock.send(header(0x4242) + QUESTION)
        assert sock.recv(512)[:2] == b"\x42\x42"


def test_trailing_octets_are_ignored(resolver_of):
    reply = dns.message.from_wire(resolver_of("kubeadm").raw(header() + QUESTION + b"junk"))
    assert count(reply) == 1


@pytest.mark.parametrize(
    "label", [b"a.b", b"\xc3\xa4", b"\xff\xfe", b"a b", b"\0"],
    ids=["dot", "utf-8", "no utf-8", "space", "nul"],
)  # fmt: skip
def test_odd_octets_in_a_label_are_a_legal_name(resolver_of, label):
    name = bytes([len(label)]) + label + b"\5alpha\3svc\7cluster\5local\0"
    reply = resolver_of("kubeadm").raw(header() + name + b"\0\1\0\1")
    assert reply[3] & 15 == dns.rcode.NXDOMAIN
    assert reply[12 : 12 + len(name)] == name


@pytest.mark.parametrize("flags", [0x0000, 0x0100, 0x0110, 0x0120], ids=["-", "rd", "cd", "ad"])
def test_id_rd_and_cd_are_copied_ra_is_clear(resolver_of, flags):
    reply = resolver_of("kubeadm").raw(header(0xABCD, flags) + QUESTION)
    assert reply[:2] == b"\xab\xcd"
    got = int.from_bytes(reply[2:4], "big")
    assert got == 0x8400 | flags & 0x0110


class TestTcp:
    def connect(self, resolver) -> socket.socket:
        return socket.create_connection((resolver.address, resolver.port), timeout=60)

    def read(self, sock: socket.socket) -> bytes:
        size = int.from_bytes(self.exactly(sock, 2), "big")
        return self.exactly(sock, size)

    def exactly(self, sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = sock.recv(size - len(data))
            assert part, "closed"
            data += part
        return data

    def frame(self, data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    def test_many_queries_at_once_are_answered_in_order(self, resolver_of):
        with self.connect(resolver_of("kubeadm")) as sock:
            sock.sendall(b"".join(self.frame(header(n) + QUESTION) for n in range(500)))
            assert [int.from_bytes(self.read(sock)[:2], "big") for _ in range(500)] == [*range(500)]

    def test_order_holds_when_the_first_has_to_wait(self, resolver_of):
        outside = b"\3www\7example\4test\0\0\1\0\1"
        with self.connect(resolver_of("kubeadm")) as sock:
            sock.sendall(
                self.frame(header(1) + b"\2u1" + outside)
                + self.frame(header(2) + QUESTION)
                + self.frame(header(3) + b"\2u3" + outside)
            )
            assert [self.read(sock)[:2] for _ in range(3)] == [b"\0\1", b"\0\2", b"\0\3"]

    def test_octet_by_octet(self, resolver_of):
        with self.connect(resolver_of("kubeadm")) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in self.frame(header(7) + QUESTION):
                sock.send(bytes([octet]))
            assert self.read(sock)[:2] == b"\0\7"

    def test_half_closed_clients_get_their_answer(self, resolver_of):
        with self.connect(resolver_of("kubeadm")) as sock:
            sock.sendall(self.frame(header(8) + QUESTION))
            sock.shutdown(socket.SHUT_WR)
            assert self.read(sock)[:2] == b"\0\x08"
            assert sock.recv(1) == b""

    def test_malformed_and_silent_messages_do_not_end_it(self, resolver_of):
        with self.connect(resolver_of("kubeadm")) as sock:
            sock.sendall(
                self.frame(header(1, counts=(0, 0, 0, 0)))
                + self.frame(b"")
                + self.frame(header(2, flags=0x8000) + QUESTION)
                + self.frame(header(3) + QUESTION)
            )
            assert [self.read(sock)[:2] for _ in range(2)] == [b"\0\1", b"\0\3"]

    def test_a_client_that_does_not_read_is_no_burden(self, big):
        question = b"\4h400\3big\3svc\7cluster\5local\0\0\1\0\1"
        data = self.frame(header() + question) * 50
        with self.connect(big) as sock:
            sock.setblocking(False)
            sent = 0
            for _ in range(2000):
                try:
                    sent += sock.send(data)
                except BlockingIOError:
                    break
            _, reply = udp(big, f"h120.big.{ZONE}", size=4096)
            assert count(reply) == 120
            status = Path(f"/proc/{big.process.pid}/status").read_text()
            assert int(status.split("VmRSS:")[1].split()[0]) < 80_000
