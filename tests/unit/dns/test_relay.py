"""The relay, on loopback, in front of a name server of the test's own."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from netemu.aio import spawn
from netemu.dns.relay import Relay


def answered(data: bytes, address: str) -> bytes:
    query = dns.message.from_wire(data)
    reply = dns.message.make_response(query, recursion_available=True)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
    return reply.to_wire()


class Fake(asyncio.DatagramProtocol):
    """Answers every name with one address, over UDP and TCP on the same port."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.seen: list[str] = []
        self.names: list[str] = []
        """What it was asked for over UDP."""
        self.mute = False

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        while True:  # until a port is free for both
            self.transport, _ = await loop.create_datagram_endpoint(
                lambda: self, local_addr=("127.0.0.1", 0)
            )
            self.port = self.transport.get_extra_info("sockname")[1]
            try:
                self.server = await asyncio.start_server(self.connection, "127.0.0.1", self.port)
                return
            except OSError:
                self.transport.close()

    def datagram_received(self, data: bytes, client) -> None:
        self.seen.append("udp")
        self.names.append(str(dns.message.from_wire(data).question[0].name))
        if not self.mute:
            self.transport.sendto(answered(data, self.address), client)

    async def connection(self, reader, writer) -> None:
        self.seen.append("tcp")
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = answered(await reader.readexactly(size), self.address)
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()
        writer.close()

    def close(self) -> None:
        self.transport.close()
        self.server.close()


def closed_port() -> int:
    """Nobody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
async def fake():
    server = Fake("192.0.2.1")
    await server.open()
    yield server
    server.close()


@asynccontextmanager
async def running(relay: Relay):
    async with asyncio.TaskGroup() as group:
        task = spawn(group, relay.run(), name="relay")
        await relay.ready.wait()
        yield relay
        task.cancel()


async def ask(relay: Relay, name: str = "www.example.org.", *, tcp: bool = False):
    query = dns.message.make_query(name, "A", use_edns=0, payload=1232)
    if tcp:
        reply = await dns.asyncquery.tcp(query, "127.0.0.1", port=relay.port, timeout=60)
    else:  # a late reply to the port's last user is none of ours
        reply = await dns.asyncquery.udp(
            query, "127.0.0.1", port=relay.port, timeout=60, ignore_unexpected=True
        )
    assert reply.id == query.id
    return reply


def address(reply) -> str:
    return reply.answer[0][0].address


async def test_udp_stays_udp_and_tcp_stays_tcp(fake):
    async with running(Relay("127.0.0.1", 0, upstreams=[f"127.0.0.1:{fake.port}"])) as relay:
        assert address(await ask(relay)) == "192.0.2.1"
        assert address(await ask(relay, tcp=True)) == "192.0.2.1"
    assert fake.seen == ["udp", "tcp"]


async def test_many_at_once(fake):
    async with running(Relay("127.0.0.1", 0, upstreams=[f"127.0.0.1:{fake.port}"])) as relay:
        replies = await asyncio.gather(*(ask(relay, f"n{n}.example.org.") for n in range(100)))
    assert [reply.question[0].name.labels[0] for reply in replies] == [
        f"n{n}".encode() for n in range(100)
    ]


async def test_the_next_upstream_is_asked(fake):
    dead = Fake("192.0.2.9")
    await dead.open()
    dead.close()
    upstreams = [f"127.0.0.1:{dead.port}", f"127.0.0.1:{fake.port}"]
    async with running(Relay("127.0.0.1", 0, upstreams=upstreams)) as relay:
        assert address(await ask(relay)) == "192.0.2.1"


@pytest.mark.parametrize("tcp", [False, True])
async def test_without_name_servers_it_is_servfail(tmp_path, tcp):
    conf = tmp_path / "resolv.conf"
    conf.write_text("search example.org\n")
    async with running(Relay("127.0.0.1", 0, resolv_conf=conf)) as relay:
        assert (await ask(relay, tcp=tcp)).rcode() == dns.rcode.SERVFAIL


async def test_resolv_conf_is_read_again_when_it_changed(tmp_path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("# nothing yet\n")
    relay = Relay("127.0.0.1", 0, resolv_conf=conf)
    async with running(relay):
        await ask(relay)
        conf.write_text("nameserver 127.0.0.7\nnameserver ::1 # comment\nnameserver bad\n")
        assert [str(u) for u in relay._current()] == ["127.0.0.7:53", "[::1]:53"]


async def test_malformed_queries_do_not_reach_the_upstream(fake):
    async with running(Relay("127.0.0.1", 0, upstreams=[f"127.0.0.1:{fake.port}"])) as relay:
        loop = asyncio.get_running_loop()
        received: asyncio.Queue[bytes] = asyncio.Queue()

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data, client):
                received.put_nowait(data)

        transport, _ = await loop.create_datagram_endpoint(
            Client, remote_addr=("127.0.0.1", relay.port)
        )
        transport.sendto(b"\x12\x34\1\0\0\2\0\0\0\0\0\0")
        data = await asyncio.wait_for(received.get(), 60)
        transport.close()
        assert data[:2] == b"\x12\x34"
        assert data[3] & 15 == dns.rcode.FORMERR
    assert fake.seen == []


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_failure_has_the_question_and_the_opt(tcp):
    """Who compares the question, as our own forward does, must not wait for a better reply."""
    async with running(Relay("127.0.0.1", 0, upstreams=[f"127.0.0.1:{closed_port()}"])) as relay:
        reply = await ask(relay, "Www.example.org.", tcp=tcp)
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert reply.question[0].name.to_text() == "Www.example.org."
        assert reply.edns == 0


async def test_nobody_waits_for_a_name_server_that_is_silent(fake, monkeypatch):
    monkeypatch.setattr("netemu.dns.upstream.READ_TIMEOUT", 0.2)
    monkeypatch.setattr("netemu.dns.relay.PROBE_EVERY", 0.02)
    fake.mute = True
    async with running(Relay("127.0.0.1", 0, upstreams=[f"127.0.0.1:{fake.port}"])) as relay:
        assert (await ask(relay)).rcode() == dns.rcode.SERVFAIL
        async with asyncio.timeout(60):
            while not relay._upstreams[0].fails:  # noqa: ASYNC110 - a counter without an event
                await asyncio.sleep(0.01)
        assert (await ask(relay, "not.asked.")).rcode() == dns.rcode.SERVFAIL
        assert "not.asked." not in fake.names  # so nobody waited for it
        fake.mute = False
        async with asyncio.timeout(60):
            while relay._upstreams[0].fails:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert address(await ask(relay)) == "192.0.2.1"


async def test_a_cause_is_logged_once_and_then_counted(caplog, monkeypatch):
    caplog.set_level("INFO", logger="netemu.dns.relay")
    port = closed_port()
    async with running(Relay("127.0.0.1", 0, upstreams=[f"127.0.0.1:{port}"])) as relay:
        for _ in range(5):
            await ask(relay)
            relay._upstreams[0].fails = 0
        assert len(caplog.records) == 1
        monkeypatch.setattr("netemu.dns.relay.SAY_EVERY", 0.0)
        await ask(relay)
    assert caplog.records[-1].message.endswith("(4 more since the last line)")


async def test_any_port_is_one_that_is_free_for_both(monkeypatch):
    real, tried = asyncio.start_server, []

    async def start_server(callback, host, port):
        tried.append(port)
        if len(tried) < 4:
            raise OSError(98, "Address already in use")
        return await real(callback, host, port)

    monkeypatch.setattr(asyncio, "start_server", start_server)
    async with running(Relay("127.0.0.1", 0)) as relay:
        assert relay.port == tried[-1]
    assert len(tried) == 4
    tried.clear()
    with pytest.raises(OSError, match="in use"):
        await Relay("127.0.0.1", relay.port).run()
    assert tried == [relay.port]
