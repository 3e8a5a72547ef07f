"""One upstream: matching replies, connections kept, bounds."""

from __future__ import annotations

import asyncio

import pytest

from netemu.dns import upstream, wire
from netemu.dns.plugin import Failure
from netemu.dns.upstream import Upstream

QUERY = wire.HEADER.pack(0x1111, wire.RD, 1, 0, 0, 0) + wire.from_text("a.test") + b"\0\1\0\1"


def answer(data: bytes) -> bytes:
    return data[:2] + b"\x81\x80" + data[4:]


class Server:
    """UDP and TCP on one port of loopback; `reply` makes a list of replies of a query."""

    def __init__(self) -> None:
        self.connections = 0
        self.per_connection: int | None = None
        self.reply = lambda data: [answer(data)]

    async def open(self) -> Server:
        outer = self

        class Udp(asyncio.DatagramProtocol):
            def datagram_received(self, data, client):
                for reply in outer.reply(data):
                    outer.transport.sendto(reply, client)

        loop = asyncio.get_running_loop()
        while True:  # until a port is free for both
            self.transport, _ = await loop.create_datagram_endpoint(
                Udp, local_addr=("127.0.0.1", 0)
            )
            self.port = self.transport.get_extra_info("sockname")[1]
            try:
                self.tcp = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
                return self
            except OSError:
                self.transport.close()

    async def serve(self, reader, writer) -> None:
        self.connections += 1
        count = 0
        try:
            while self.per_connection is None or count < self.per_connection:
                size = int.from_bytes(await reader.readexactly(2), "big")
                for reply in self.reply(await reader.readexactly(size)):
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                count += 1
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        writer.close()

    def close(self) -> None:
        self.transport.close()
        self.tcp.close()


@pytest.fixture
async def pair(monkeypatch):
    for limit in ("READ_TIMEOUT", "DIAL_TIMEOUT"):  # a busy machine is no silent server
        monkeypatch.setattr(upstream, limit, 60.0)
    server = await Server().open()
    async with asyncio.TaskGroup() as group:
        made = Upstream("127.0.0.1", server.port, group=group)
        yield server, made
        made.close()
    server.close()


@pytest.mark.parametrize("tcp", [False, True])
async def test_the_querys_own_id_comes_back(pair, tcp):
    server, upstream = pair
    seen = []

    def reply(data):
        seen.append(data[:2])
        return [answer(data)]

    server.reply = reply
    found = await upstream.ask(QUERY, tcp=tcp)
    assert found[:2] == QUERY[:2]
    for _ in range(20):
        await upstream.ask(QUERY, tcp=tcp)
    assert len(set(seen)) > 15


@pytest.mark.parametrize("tcp", [False, True])
async def test_other_ids_and_questions_are_passed_over(pair, tcp):
    server, upstream = pair
    other = wire.from_text("b.test") + b"\0\1\0\1"

    def reply(data):
        return [b"\0\0" + answer(data)[2:], answer(data[:12] + other), answer(data) + b"!"]

    server.reply = reply
    assert (await upstream.ask(QUERY, tcp=tcp))[-1:] == b"!"


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_bare_failure_ends_the_waiting_with_the_question_added(pair, tcp):
    server, upstream = pair
    server.reply = lambda data: [
        data[:2] + b"\x81\x80" + bytes(8),
        data[:2] + b"\x81\x85" + bytes(8),
    ]
    found = await upstream.ask(QUERY, tcp=tcp)
    assert found == QUERY[:2] + b"\x81\x85\0\1" + bytes(6) + QUERY[12:]


@pytest.mark.parametrize("tcp", [False, True])
async def test_types_are_compared_as_they_are(pair, tcp, monkeypatch):
    """65 and 97 differ by what makes a letter small."""
    monkeypatch.setattr("netemu.dns.upstream.READ_TIMEOUT", 0.05)
    server, upstream = pair
    server.reply = lambda data: [answer(data[:-3] + b"\x61" + data[-2:])]
    with pytest.raises(Failure, match="no answer"):
        await upstream.ask(QUERY[:-3] + b"\x41" + QUERY[-2:], tcp=tcp)


async def test_a_connection_is_used_again_and_replaced_when_it_was_closed(pair):
    server, upstream = pair
    for _ in range(5):
        await upstream.ask(QUERY, tcp=True)
    assert server.connections == 1
    server.per_connection = 1
    for _ in range(3):
        await upstream.ask(QUERY, tcp=True)
    assert server.connections >= 3


async def test_few_sockets_serve_many_queries(pair):
    server, made = pair
    await asyncio.gather(*(made.ask(QUERY, tcp=False) for _ in range(200)))
    assert len(made._channels) <= upstream.MAX_CHANNELS
    assert all(not channel.waiting for channel in made._channels)


async def test_silence_fails_in_time_and_leaves_nothing(pair, monkeypatch):
    server, made = pair
    monkeypatch.setattr(upstream, "READ_TIMEOUT", 0.05)
    server.reply = lambda data: []
    for tcp in (False, True):
        with pytest.raises(Failure, match="no answer within"):
            await made.ask(QUERY, tcp=tcp)
    assert all(not channel.waiting for channel in made._channels)
    assert made._streams == 0


async def test_connections_are_bounded(pair, monkeypatch):
    server, made = pair
    monkeypatch.setattr(upstream, "MAX_STREAMS", 3)
    monkeypatch.setattr(upstream, "READ_TIMEOUT", 0.2)
    server.reply = lambda data: []
    found = await asyncio.gather(
        *(made.ask(QUERY, tcp=True) for _ in range(10)), return_exceptions=True
    )
    assert sum("3 connections wait" in str(error) for error in found) == 7


async def test_a_dead_one_is_probed_until_it_lives(pair, monkeypatch):
    server, made = pair
    monkeypatch.setattr(upstream, "READ_TIMEOUT", 0.05)
    made.probe_every = 0.01
    server.reply = lambda data: []
    made.check()
    async with asyncio.timeout(60):
        while made.fails < 3:  # noqa: ASYNC110 - a counter without an event
            await asyncio.sleep(0.01)
        server.reply = lambda data: [answer(data)]
        while made.fails:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
