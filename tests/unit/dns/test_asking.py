"""Asking over sockets as stub resolvers do, with name servers of the tests' own on loopback."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import dns.message
import dns.rcode
import dns.rrset
import pytest

from netemu.dns import wire
from netemu.dns.asking import Asker
from netemu.dns.stub import Resolver

PORT_TRIES = 50


class Server:
    """127.0.0.N on a given port; `says` is an address, an rcode, or empty for silence."""

    def __init__(self, host: str, says: str, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self.says, self.asked = says, 0
        self.clients: list[int] = []
        """The port of each datagram's sender."""
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with suppress(OSError):  # until the socket is closed
            while True:
                self.answer(*self.socket.recvfrom(4096))

    def answer(self, data: bytes, client: tuple[str, int]) -> None:
        self.asked += 1
        self.clients.append(client[1])
        reply = dns.message.make_response(dns.message.from_wire(data))
        if self.says.isupper():
            reply.set_rcode(dns.rcode.from_text(self.says))
        elif self.says:
            name = reply.question[0].name
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", self.says))
        if self.says:
            self.socket.sendto(reply.to_wire(), client)


@pytest.fixture
def ask():
    """Asks servers that say these things, in this order; (outcome, servers, seconds)."""
    made: list[Server] = []

    def start(*says: str) -> list[Server]:
        for _ in range(PORT_TRIES):  # a port that is free on all addresses
            made.append(Server("127.0.1.1", says[0]))
            servers = [made[-1]]
            try:
                for number, each in enumerate(says[1:], 2):
                    servers.append(Server(f"127.0.1.{number}", each, servers[0].port))
                    made.append(servers[-1])
                return servers
            except OSError:
                continue
        raise AssertionError("no free port")

    def run(*says: str, timeout: float = 0.4, attempts: int = 2, model: str = "glibc"):
        servers = start(*says)
        hosts = tuple(f"127.0.1.{n}" for n in range(1, len(says) + 1))
        resolver = Resolver(nameservers=hosts, timeout=timeout, attempts=attempts)
        asker = Asker(resolver, socket.socket, port=servers[0].port, model=model)
        started = time.monotonic()
        outcome = asker.ask("a.test.", [wire.A])[0]
        return outcome, servers, time.monotonic() - started

    yield run
    for server in made:
        server.socket.close()


def test_one_after_the_other(ask):
    outcome, servers, took = ask("", "192.0.2.2", timeout=1.0, attempts=5)
    assert outcome.addresses == ("192.0.2.2",)
    assert (outcome.server, took >= 1.0) == ("127.0.1.2", True)


def test_the_next_one_after_a_failure(ask):
    outcome, servers, _ = ask("SERVFAIL", "192.0.2.2", timeout=30)
    assert (outcome.addresses, servers[0].asked) == (("192.0.2.2",), 1)


def test_the_last_ones_failure_counts(ask):
    assert ask("SERVFAIL", "REFUSED", timeout=30)[0].verdict == "REFUSED"


def test_all_tries(ask):
    outcome, servers, took = ask("", "", timeout=0.1, attempts=3)
    assert outcome.verdict == "timeout"
    assert took >= 0.6


def test_nobody_there_is_not_waited_for(ask):
    resolver = Resolver(nameservers=("127.0.1.9",), timeout=30)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.1.9", 0))
        port = sock.getsockname()[1]
    assert Asker(resolver, socket.socket, port=port).ask("a.test.", [wire.A])[0].rcode == -1


@pytest.mark.parametrize(("model", "sockets"), [("glibc", 1), ("musl", 1), ("go", 3)])
def test_who_keeps_the_socket_for_the_next_try(ask, model, sockets):
    """A conntrack entry to a dead server holds for all tries of a kept one."""
    _, (server,), _ = ask("", timeout=0.3, attempts=3, model=model)
    deadline = time.monotonic() + 60
    while server.asked < 3:  # the server's thread is yet to see the last one
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(set(server.clients)) == sockets


class TestParallel:
    def test_nobody_there_is_waited_for(self):
        """It hears no ICMP errors: who begins to listen in time is heard."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.1.9", 0))
            port = sock.getsockname()[1]
        resolver = Resolver(nameservers=("127.0.1.9",), timeout=60, attempts=600)
        opened = threading.Event()

        def open_(family, kind):
            opened.set()
            return socket.socket(family, kind)

        def listen():
            opened.wait()
            made.append(Server("127.0.1.9", "192.0.2.2", port))

        made: list[Server] = []
        listener = threading.Thread(target=listen)
        listener.start()
        asker = Asker(resolver, open_, port=port, model="musl")
        outcome = asker.ask("a.test.", [wire.A])[0]
        listener.join()
        made[0].socket.close()
        assert outcome.addresses == ("192.0.2.2",)

    def test_the_first_good_answer(self, ask):
        outcome, servers, _ = ask("", "192.0.2.2", timeout=60, model="musl")
        assert outcome.addresses == ("192.0.2.2",)

    def test_a_failure_is_no_answer(self, ask):
        for says in (("REFUSED", "192.0.2.2"), ("192.0.2.2", "SERVFAIL")):
            outcome, _, _ = ask(*says, timeout=60, model="musl")
            assert outcome.addresses == ("192.0.2.2",)

    def test_failures_are_told_when_the_time_is_up(self, ask):
        for _ in range(5):  # a busy machine may not answer in time at first
            outcome, _, took = ask("SERVFAIL", "SERVFAIL", timeout=2.0, attempts=1, model="musl")
            assert took >= 1.9
            if outcome.verdict == "SERVFAIL":
                return
        raise AssertionError(outcome)
