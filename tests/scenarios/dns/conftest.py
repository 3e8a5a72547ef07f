"""A stand-alone resolver for each Corefile, and an upstream of our own behind it."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

HERE = Path(__file__).parent
OBJECTS = [HERE / name for name in ("world.yaml", "pods.yaml", "multicluster.yaml")]

UPSTREAM = {
    ("www.example.test.", "A"): ["198.51.100.80"],
    ("www.example.test.", "AAAA"): ["2001:db8::80"],
    ("www.example.test.", "TXT"): [],
    ("big.example.test.", "A"): [f"198.51.100.{n}" for n in range(1, 120)],
    ("80.100.51.198.in-addr.arpa.", "PTR"): ["www.example.test."],
    ("version.bind.", "TXT"): ['"fake upstream"'],
}


def answer(data: bytes, counts: dict, queries: list) -> bytes | None:
    """What the upstream says."""
    query = dns.message.from_wire(data)
    queries.append(query)
    question = query.question[0]
    name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
    counts[name, kind] = counts.get((name, kind), 0) + 1
    reply = dns.message.make_response(query, recursion_available=True)
    target = question.name
    if name.startswith("silent."):
        return None
    if name.startswith("garbage."):
        return data[:2] + b"\x81\x80" + os.urandom(40)
    for rcode in ("REFUSED", "SERVFAIL"):
        if name.startswith(f"{rcode.lower()}."):
            reply.set_rcode(dns.rcode.from_text(rcode))
            return reply.to_wire()
    if name == "alias.example.test.":
        reply.answer.append(dns.rrset.from_text(target, 60, "IN", "CNAME", "www.example.test."))
        name, target = "www.example.test.", dns.name.from_text("www.example.test.")
    values = UPSTREAM.get((name, kind))
    if values:
        rdclass = dns.rdataclass.to_text(question.rdclass)
        reply.answer.append(dns.rrset.from_text(target, 60, rdclass, kind, *values))
    if not values:
        known = any(key[0] == name for key in UPSTREAM)
        reply.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
        soa = "ns.example.test. root.example.test. 1 7200 900 86400 60"
        reply.authority.append(dns.rrset.from_text("example.test.", 60, "IN", "SOA", soa))
    return reply.to_wire(max_size=65535)


class Upstream:
    """A name server for example.test on loopback, UDP and TCP, in threads of its own."""

    def __init__(self) -> None:
        counts = self.counts = {}
        """(name, type) -> how often that was asked."""
        queries = self.queries = []
        self.streams = 0
        """Queries that came over TCP."""
        upstream = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, sock = self.request
                reply = answer(data, counts, queries)
                if reply is not None:
                    if len(reply) > 1232:
                        cut = dns.message.from_wire(reply)
                        cut.answer.clear()
                        cut.flags |= dns.flags.TC
                        reply = cut.to_wire()
                    sock.sendto(reply, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while head := self.rfile.read(2):
                    data = self.rfile.read(int.from_bytes(head, "big"))
                    upstream.streams += 1
                    reply = answer(data, counts, queries)
                    if reply is None:
                        return
                    self.wfile.write(len(reply).to_bytes(2, "big") + reply)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        while True:  # until a port is free for both
            self.udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Udp)
            self.port = self.udp.server_address[1]
            try:
                self.tcp = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Tcp)
                break
            except OSError:
                self.udp.server_close()
        for server in (self.udp, self.tcp):
            server.daemon_threads = True
            threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
            ).start()

    def close(self) -> None:
        for server in (self.udp, self.tcp):
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="session")
def make_upstream():
    """Makes name servers; all are closed at the end."""
    made = []

    def make() -> Upstream:
        made.append(Upstream())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="session")
def upstream(make_upstream):
    return make_upstream()


@pytest.fixture
def two(make_upstream):
    """Two name servers that nobody else asks, and the words for `forward`."""
    servers = [make_upstream(), make_upstream()]
    return servers, " ".join(f"127.0.0.1:{server.port}" for server in servers)


class Resolver:
    """`python -m netemu.dns` in a process of its own."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "netemu.dns", *arguments], stdout=out, stderr=out
            )
        self.address, self.port = self._wait()

    def _wait(self) -> tuple[str, int]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(r"serving DNS on ([\d.]+):(\d+)", self.log.read_text())
            if found:
                return found[1], int(found[2])
            if self.process.poll() is not None:
                break
            select.select([], [], [], 0.01)
        raise AssertionError(f"the resolver did not start: {self.log.read_text()}")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        return self.log.read_text()

    def raw(self, data: bytes, timeout: float = 60.0) -> bytes | None:
        """One datagram, and the reply, or None when none came in time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.connect((self.address, self.port))
            sock.send(data)
            try:
                return sock.recv(65535)
            except TimeoutError:
                return None

    def stop(self) -> int:
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


Start = Callable[..., Resolver]


@contextmanager
def starting(folders, upstream: Upstream) -> Iterator[Start]:
    """Starts a resolver with a Corefile's text; all are stopped at the end."""
    running: list[Resolver] = []

    def start(text: str, *arguments: str, objects: list[Path] | None = None) -> Resolver:
        where = folders.mktemp("dns")
        corefile = where / "Corefile"
        corefile.write_text(text.replace("{upstream}", f"127.0.0.1:{upstream.port}"))
        chosen = objects if objects is not None else OBJECTS
        words = [word for path in chosen for word in ("--objects", str(path))]
        words += ["--corefile", str(corefile), "--listen", "127.0.0.1:0"]
        resolver = Resolver([*words, "--local-address", "192.0.2.53", *arguments], where / "log")
        resolver.corefile = corefile
        running.append(resolver)
        return resolver

    yield start
    for resolver in running:
        if resolver.alive:
            assert resolver.stop() == 0, resolver.text()


@pytest.fixture
def start_resolver(tmp_path_factory, upstream):
    """For one test."""
    with starting(tmp_path_factory, upstream) as start:
        yield start


@pytest.fixture(scope="module")
def keep_resolver(tmp_path_factory, upstream):
    """For all tests of a file."""
    with starting(tmp_path_factory, upstream) as start:
        yield start


@pytest.fixture(scope="session")
def resolver_of(tmp_path_factory, upstream):
    """The resolver with a Corefile of `corefiles/`; started once."""
    started: dict[str, Resolver] = {}
    with starting(tmp_path_factory, upstream) as start:

        def of(name: str) -> Resolver:
            if name not in started:
                started[name] = start((HERE / "corefiles" / name).read_text())
            return started[name]

        yield of
