"""cache, serve_stale: what has expired is served while nothing better is there."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import dns.message
import dns.rdatatype
import dns.rrset
import pytest

from scenarios.dns.questions import ask, corefile, rows, wait_for


class Fading:
    """A name server that answers each query with the next address, one second long; or not."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked, self.mute = 0, False
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with suppress(OSError):  # until the socket is closed
            while True:
                self.answer(*self.socket.recvfrom(4096))

    def answer(self, data: bytes, client: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        if self.mute or query.question[0].rdtype != dns.rdatatype.A:
            return
        self.asked += 1
        reply = dns.message.make_response(query)
        name, address = query.question[0].name, f"192.0.2.{self.asked}"
        reply.answer.append(dns.rrset.from_text(name, 1, "IN", "A", address))
        self.socket.sendto(reply.to_wire(), client)


@pytest.fixture
def fading():
    server = Fading()
    yield server
    server.socket.close()


@pytest.fixture
def expired(start_resolver, fading):
    """A resolver that keeps an answer which has just expired."""

    def start(option: str):
        resolver = start_resolver(
            corefile(
                f"cache {{\n success 2000 1 1\n servfail 0\n {option}\n}}",
                f"forward . 127.0.0.1:{fading.port}",
            )
        )
        assert rows(ask(resolver, "a.test.")) == ["a.test. 1 A 192.0.2.1"]
        answered = time.monotonic()
        wait_for(lambda: time.monotonic() > answered + 1.1)
        return resolver

    return start


@pytest.mark.parametrize("mode", ["serve_stale", "serve_stale 1h", "serve_stale 1h immediate"])
def test_immediate_then_fresh(expired, fading, mode):
    resolver = expired(mode)
    assert rows(ask(resolver, "a.test.")) == ["a.test. 0 A 192.0.2.1"]
    wait_for(lambda: "192.0.2.1" not in rows(ask(resolver, "a.test."))[0])
    assert fading.asked >= 2


def test_immediate_does_not_wait_for_a_dead_upstream(expired, fading):
    resolver = expired("serve_stale 1h immediate")
    fading.mute = True
    took = []
    for _ in range(5):
        started = time.monotonic()
        assert rows(ask(resolver, "a.test.")) == ["a.test. 0 A 192.0.2.1"]
        took.append(time.monotonic() - started)
    assert min(took) < 1.5, "an upstream's time to answer is two seconds"


def test_verify_asks_first(expired, fading):
    resolver = expired("serve_stale 1h verify")
    assert rows(ask(resolver, "a.test.")) == ["a.test. 1 A 192.0.2.2"]


def test_verify_serves_stale_when_nobody_answers(expired, fading):
    resolver = expired("serve_stale 1h verify")
    fading.mute = True
    assert rows(ask(resolver, "a.test.", timeout=60)) == ["a.test. 0 A 192.0.2.1"]


def test_too_old_is_not_served(expired, fading):
    resolver = expired("serve_stale 10ms")
    assert rows(ask(resolver, "a.test.")) == ["a.test. 1 A 192.0.2.2"]
