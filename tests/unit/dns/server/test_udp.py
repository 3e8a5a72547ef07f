"""What the UDP listener keeps, and when it lets go."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import dns.message
import pytest

from netemu.dns.kube.store import Wanted
from netemu.dns.server import udp
from netemu.dns.server.server import Server

COREFILE = """\
. {
    prometheus 127.0.0.1:0
    kubernetes cluster.local in-addr.arpa {
        ttl 30
    }
    loadbalance
}
"""


class Client:
    def __init__(self, listener: udp.UdpListener) -> None:
        self.listener = listener
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.connect(listener.local)

    async def ask(self, name: str, kind: str = "A", *, edns: int = -1) -> dns.message.Message:
        query = dns.message.make_query(name, kind, use_edns=edns)
        self.socket.send(query.to_wire())
        data = await asyncio.get_running_loop().sock_recv(self.socket, 4096)
        reply = dns.message.from_wire(data)
        assert reply.id == query.id
        return reply


@pytest.fixture
async def client(bench, cluster_ip):
    server = Server(bench.runtime, listen=[("127.0.0.1", 0)])
    await server.start(COREFILE.replace(". {", ".:53 {"))
    store = bench.runtime.store(Wanted())
    store.set_namespace("ns", True, 1)
    store.set_service("ns/web", cluster_ip("ns/web", bytes([10, 0, 0, 1])), 1)
    made = Client(next(iter(server.listeners.values())).udp[0])
    made.store, made.server, made.runtime = store, server, bench.runtime
    yield made
    made.socket.close()
    await server.stop()


def addresses(reply) -> list[str]:
    return [rdata.to_text() for rrset in reply.answer for rdata in rrset]


NAME = "web.ns.svc.cluster.local."


async def test_a_change_of_its_service_drops_a_reply_at_once(client, cluster_ip):
    for _ in range(3):
        assert addresses(await client.ask(NAME)) == ["10.0.0.1"]
    assert len(client.listener._kept) == 1
    client.store.set_service("ns/other", cluster_ip("ns/other", bytes([10, 0, 0, 9])), 1)
    assert len(client.listener._kept) == 1
    client.store.set_service("ns/web", cluster_ip("ns/web", bytes([10, 0, 0, 2])), 1)
    assert not client.listener._kept
    assert addresses(await client.ask(NAME)) == ["10.0.0.2"]


async def test_a_name_that_did_not_exist_appears(client, cluster_ip):
    for _ in range(2):
        assert (await client.ask("new.ns.svc.cluster.local.")).rcode() == 3
    client.store.set_service("ns/new", cluster_ip("ns/new", bytes([10, 0, 0, 3])), 1)
    assert addresses(await client.ask("new.ns.svc.cluster.local.")) == ["10.0.0.3"]


async def test_pointers_follow_the_address(client, cluster_ip):
    pointer = "1.0.0.10.in-addr.arpa."
    assert addresses(await client.ask(pointer, "PTR")) == [NAME]
    client.store.set_service("ns/web", None, 1)
    assert (await client.ask(pointer, "PTR")).rcode() == 3


async def test_a_namespace_that_goes_takes_all_along(client):
    assert addresses(await client.ask(NAME)) == ["10.0.0.1"]
    client.store.set_namespace("ns", False, 1)
    assert (await client.ask(NAME)).rcode() == 3


async def test_the_serial_of_kept_negatives_is_current(client, cluster_ip):
    async def serial() -> int:
        return (await client.ask("absent.ns.svc.cluster.local.")).authority[0][0].serial

    assert [await serial(), await serial()] == [1, 1]
    client.store.set_service("ns/x", cluster_ip("ns/x", bytes([10, 0, 0, 4])), 77)
    assert await serial() == 77


async def test_ids_spelling_and_edns_of_kept_replies(client):
    for name in (NAME, NAME.upper()):
        for edns in (-1, 0):
            for _ in range(2):
                reply = await client.ask(name, edns=edns)
                assert reply.question[0].name.to_text() == name
                assert reply.answer[0].name.to_text() == name
                assert reply.edns == edns
    assert len(client.listener._kept) == 4


async def test_options_are_not_kept(client):
    import dns.edns

    for number in range(3):
        query = dns.message.make_query(NAME, "A", use_edns=0)
        query.use_edns(0, options=[dns.edns.GenericOption(10, number.to_bytes(8, "big"))])
        client.socket.send(query.to_wire())
        await asyncio.get_running_loop().sock_recv(client.socket, 4096)
    assert not client.listener._kept


async def test_there_is_a_bound(client, monkeypatch):
    monkeypatch.setattr(udp, "MAX_KEPT", 50)
    for number in range(200):
        await client.ask(f"n{number}.ns.svc.cluster.local.")
    assert len(client.listener._kept) <= 50
    assert sum(len(keys) for keys in client.listener._tags.values()) <= 150


async def test_hot_replies_are_counted(client):
    for _ in range(10):
        await client.ask(NAME)
    text = client.runtime.registry.render()
    labels = 'server="dns://:53",zone=".",view=""'
    assert f'coredns_dns_requests_total{{{labels},proto="udp",family="1",type="A"}} 10' in text
    assert f"coredns_dns_request_duration_seconds_count{{{labels}}} 10" in text
    client.store.set_service("ns/web", None, 1)
    for _ in range(5):
        await client.ask(NAME)
    text = client.runtime.registry.render()
    assert 'proto="udp",family="1",type="A"} 15' in text
    assert f'coredns_dns_responses_total{{{labels},rcode="NXDOMAIN",plugin="kubernetes"}} 5' in text


async def test_orders_are_even(client):
    import msgspec

    from netemu.dns.kube import objects

    labels = {objects.SERVICE_NAME: "many"}
    raw = {
        "metadata": {"name": "s", "namespace": "ns", "labels": labels},
        "endpoints": [{"addresses": [f"10.1.0.{n}"]} for n in range(5)],
    }
    spec = {"metadata": {"name": "many", "namespace": "ns"}, "spec": {"clusterIP": "None"}}
    service = objects.service(msgspec.convert(spec, objects.RawService), [])
    client.store.set_service("ns/many", service, 1)
    made = objects.endpoint_slice(msgspec.convert(raw, objects.RawSlice), [])
    client.store.set_slice("ns/s", made, 1)
    first: Counter[str] = Counter()
    for _ in range(210):
        found = addresses(await client.ask("many.ns.svc.cluster.local."))
        assert len(set(found)) == 5
        first[found[0]] += 1
    assert all(30 <= count <= 54 for count in first.values()), first


async def test_a_new_corefile_forgets_all(client):
    assert (await client.ask(NAME)).answer[0].ttl == 30
    assert await client.server.replace(COREFILE.replace(". {", ".:53 {").replace("30", "9"))
    assert (await client.ask(NAME)).answer[0].ttl == 9


async def test_kept_replies_take_a_bounded_number_of_octets(client, cluster_ip, monkeypatch):
    """Each spelling of a name is a query of its own, and a reply may have 64 kB."""
    listener = client.listener
    monkeypatch.setattr(udp, "MAX_BYTES", 20 * udp.OVERHEAD)
    spellings = {
        "".join(c.upper() if number >> at & 1 else c for at, c in enumerate(NAME))
        for number in range(64)
    }
    for spelling in spellings:
        assert addresses(await client.ask(spelling)) == ["10.0.0.1"]
        assert 0 < listener._bytes <= udp.MAX_BYTES
        assert listener._bytes == sum(kept[4] for kept in listener._kept.values())
    assert len(listener._kept) < 20
    client.store.set_service("ns/web", cluster_ip("ns/web", bytes([10, 0, 0, 2])), 1)
    assert (len(listener._kept), listener._bytes) == (0, 0)
    assert addresses(await client.ask(NAME)) == ["10.0.0.2"]
