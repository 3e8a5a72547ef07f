"""Failures inside, objects that are not there yet, idle connections, IPv6."""

from __future__ import annotations

import asyncio
import logging

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from netemu.dns.kube.store import Wanted
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Plugin
from netemu.dns.server import tcp
from netemu.dns.server.instance import link
from netemu.dns.server.server import ListenError, Server

COREFILE = ".:53 {\n errors\n kubernetes cluster.local {\n startup_timeout 0\n }\n}\n"
NAME = "web.ns.svc.cluster.local."


class Broken(Plugin):
    """Raises what no plugin should."""

    name = "broken"

    def __init__(self, wait: bool) -> None:
        self.wait = wait

    async def serve(self, query: Query) -> Reply:
        if self.wait:
            await asyncio.sleep(0)
        raise ZeroDivisionError("a mistake")


async def started(bench, host: str = "127.0.0.1", text: str = COREFILE) -> Server:
    server = Server(bench.runtime, listen=[(host, 0)])
    await server.start(text)
    return server


async def ask(server: Server, *, tcp: bool = False):
    host, port = server.dns_addresses()[0]
    query = dns.message.make_query(NAME, "A")
    if tcp:
        return await dns.asyncquery.tcp(query, host, port=port, timeout=60)
    return await dns.asyncquery.udp(query, host, port=port, timeout=60, ignore_unexpected=True)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("tcp", [False, True])
async def test_a_mistake_in_a_plugin_is_servfail_and_logged(bench, caplog, wait, tcp):
    server = await started(bench)
    for chain in server.listeners["127.0.0.1", 0].responder.chains.values():
        chain.first = link([Broken(wait)])
    with caplog.at_level(logging.CRITICAL, "netemu.dns.server.respond"):
        for _ in range(2):
            assert (await ask(server, tcp=tcp)).rcode() == dns.rcode.SERVFAIL
    await server.stop()


async def test_before_the_objects_are_known_it_is_servfail_with_the_soa(bench, cluster_ip):
    class Never:
        def fill(self, wanted, store):
            """A source that has not listed yet."""

    bench.runtime.source = Never()
    server = await started(bench)
    reply = await ask(server)
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert dns.rdatatype.SOA in [rrset.rdtype for rrset in reply.authority]
    assert not bench.runtime.instance.plugins[-1].ready()
    store = bench.runtime.store(Wanted())
    store.set_namespace("ns", True, 1)
    store.set_service("ns/web", cluster_ip("ns/web", bytes([10, 0, 0, 1])), 1)
    store.set_synced()
    assert (await ask(server)).answer[0][0].address == "10.0.0.1"
    assert bench.runtime.instance.plugins[-1].ready()
    await server.stop()


async def test_an_idle_connection_is_closed(bench, monkeypatch):
    monkeypatch.setattr(tcp, "IDLE", 0.05)
    server = await started(bench)
    reader, writer = await asyncio.open_connection(*server.dns_addresses()[0])
    writer.write(b"\0\x20half")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()
    await server.stop()


async def test_too_many_connections(bench, monkeypatch):
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 2)
    server = await started(bench)
    pairs = [await asyncio.open_connection(*server.dns_addresses()[0]) for _ in range(3)]
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(pairs[2][0].readexactly(1), 60)
    for _, writer in pairs:
        writer.close()
    await server.stop()


async def test_ipv6(bench):
    try:
        server = await started(bench, "::1")
    except ListenError:
        pytest.skip("no IPv6 on this machine")
    assert (await ask(server)).rcode() == dns.rcode.NXDOMAIN
    assert (await ask(server, tcp=True)).rcode() == dns.rcode.NXDOMAIN
    await server.stop()


async def test_stopping_closes_everything(bench):
    server = await started(bench)
    address = server.dns_addresses()[0]
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
