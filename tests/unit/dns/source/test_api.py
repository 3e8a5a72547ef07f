"""The resolver against a real API server: lists, watches, progress, the Corefile's ConfigMap."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kinds import CONFIG_MAPS, ENDPOINT_SLICES, NAMESPACES, PODS, SERVICES
from netemu.apiserver.server import ApiServer
from netemu.client.http import HttpClient
from netemu.config.cluster import ClusterConfig
from netemu.dns.kube.store import Store, Wanted
from netemu.dns.source.api import ApiSource
from netemu.store.memory import MemoryStore

COREFILE = """\
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa {
        pods verified
        ttl TTL
    }
    reload
    loadbalance
}
"""


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    folder = Path(tempfile.mkdtemp(prefix="api"))
    made = ApiServer(
        ClusterConfig(), store=MemoryStore(), socket=folder / "api.sock", pki=folder / "pki"
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = spawn(group, made.run(ready=ready), name="server")
        await ready.wait()
        yield made
        task.cancel()
    shutil.rmtree(folder)


def service(name: str, *, headless: bool = False, labels=None) -> dict:
    spec = {"ports": [{"name": "http", "port": 80}]} | ({"clusterIP": "None"} if headless else {})
    metadata = {"name": name, "namespace": "default", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def slice_(name: str, owner: str, addresses: list[str], ready: bool = True) -> dict:
    labels = {"kubernetes.io/service-name": owner}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        "endpoints": [{"addresses": [a], "conditions": {"ready": ready}} for a in addresses],
    }


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - another process's log, or a view without events
            await asyncio.sleep(0.005)


async def test_lists_watches_and_progress(server):
    client = server.local_client()
    for number in range(3):
        await client.create(SERVICES, service(f"s{number}"))
    async with asyncio.TaskGroup() as group:
        http = HttpClient.unix(server.socket)
        source = ApiSource(group, http, component="dns/test")
        store = Store()
        source.fill(Wanted(), store)
        await until(lambda: store.synced and source.announced)
        assert {"default/s0", "default/s1", "default/s2"} <= set(store.services)
        assert "default" in store.namespaces
        await client.create(NAMESPACES, {"metadata": {"name": "new"}})
        await client.delete(SERVICES, "s1", "default")
        await client.create(ENDPOINT_SLICES, slice_("s0-x", "s0", ["10.9.9.9"]))
        done = await client.barrier()
        assert done["components"]["dns/test"] >= done["revision"]
        assert "new" in store.namespaces
        assert "default/s1" not in store.services
        assert store.by_service.get("default/s0")[0].endpoints[0].address == bytes([10, 9, 9, 9])
        cancel(group)


def cancel(group: asyncio.TaskGroup) -> None:
    """End the tasks that the source has in the group."""
    for task in asyncio.all_tasks():
        if task.get_name().startswith("dns "):
            task.cancel()


async def test_labels_choose_services(server):
    client = server.local_client()
    await client.create(SERVICES, service("in", labels={"dns": "yes"}))
    await client.create(SERVICES, service("out"))
    async with asyncio.TaskGroup() as group:
        store = Store()
        ApiSource(group, HttpClient.unix(server.socket)).fill(Wanted(labels="dns=yes"), store)
        await until(lambda: store.synced)
        assert "default/in" in store.services
        assert "default/out" not in store.services
        cancel(group)


async def test_what_went_while_nobody_watched_is_gone(server):
    """A list after a break brings deletions too."""
    client = server.local_client()
    await client.create(SERVICES, service("stays"))
    await client.create(SERVICES, service("goes"))
    async with asyncio.TaskGroup() as group:
        source = ApiSource(group, HttpClient.unix(server.socket))
        store = Store()
        source.fill(Wanted(), store)
        await until(lambda: store.synced)
        watch = next(w for w in source._watches if w.resource.plural == "services")
        cancel(group)
        await asyncio.sleep(0)
        await client.delete(SERVICES, "goes", "default")
        watch.revision = 0
        task = spawn(group, watch.run(), name="dns watch services")
        await until(lambda: "default/goes" not in store.services)
        assert "default/stays" in store.services
        task.cancel()


class Process:
    """`python -m netemu.dns --api` on a port of the kernel's choice."""

    async def start(self, server: ApiServer, log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "netemu.dns", "--api", f"unix:{server.socket}",
                "--name", "coredns-a", "--listen", "127.0.0.1:0", stdout=out, stderr=out,
            )  # fmt: skip
        await until(lambda: "serving DNS on" in log.read_text() or self.process.returncode)
        words = log.read_text().split("serving DNS on 127.0.0.1:")
        assert len(words) > 1, log.read_text()
        self.port = int(words[1].split()[0])

    async def ask(self, name: str, kind: str = "A"):
        query = dns.message.make_query(name, kind)
        return await dns.asyncquery.udp(
            query, "127.0.0.1", port=self.port, timeout=60, ignore_unexpected=True
        )

    async def ttl(self, name: str) -> int:
        return (await self.ask(name)).answer[0].ttl

    async def stop(self) -> int:
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 60)


@pytest.fixture
async def resolver(server, tmp_path):
    client = server.local_client()
    data = {"Corefile": COREFILE.replace("TTL", "30")}
    config = {"metadata": {"name": "coredns", "namespace": "kube-system"}, "data": data}
    await client.create(CONFIG_MAPS, config)
    process = Process()
    await process.start(server, tmp_path / "log")
    yield process
    assert await process.stop() == 0


async def test_what_the_barrier_lets_through_is_answered(server, resolver):
    client = server.local_client()
    await client.create(SERVICES, service("web", headless=True))
    made = await client.create(ENDPOINT_SLICES, slice_("web-1", "web", ["10.1.1.1"]))
    for number in range(20):
        address = f"10.1.1.{number + 2}"
        changed = meta.copy(made)
        changed["endpoints"][0]["addresses"] = [address]
        made = await client.update(ENDPOINT_SLICES, changed)
        done = await client.barrier(timeout=60)
        assert "dns/coredns-a" in done["components"]
        reply = await resolver.ask("web.default.svc.cluster.local.")
        assert [rdata.address for rdata in reply.answer[0]] == [address]
    changed = meta.copy(made)
    changed["endpoints"][0]["conditions"]["ready"] = False
    await client.update(ENDPOINT_SLICES, changed)
    await client.barrier(timeout=60)
    reply = await resolver.ask("web.default.svc.cluster.local.")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    await client.delete(SERVICES, "web", "default")
    await client.barrier(timeout=60)


async def test_pods_verified_watches_pods(server, resolver):
    client = server.local_client()
    name = "10-7-7-7.default.pod.cluster.local."
    assert (await resolver.ask(name)).rcode() == dns.rcode.NXDOMAIN
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "pause"}], "nodeName": "node-1"},
    }
    made = meta.copy(await client.create(PODS, pod))
    made["status"] = {"phase": "Running", "podIP": "10.7.7.7"}
    await client.update(PODS, made, subresource="status")
    await client.barrier(timeout=60)
    assert (await resolver.ask(name)).answer[0][0].address == "10.7.7.7"


async def test_the_config_map_is_followed_and_mistakes_are_refused(server, resolver):
    client = server.local_client()
    name = "kubernetes.default.svc.cluster.local."
    assert await resolver.ttl(name) == 30

    async def write(text: str) -> None:
        patch = {"data": {"Corefile": text}}
        await client.patch(CONFIG_MAPS, "coredns", "kube-system", patch)

    await write(COREFILE.replace("TTL", "12"))
    await until(lambda: "Reloading complete" in resolver.log.read_text())
    assert await resolver.ttl(name) == 12
    await write(COREFILE.replace("TTL", "much"))
    await until(lambda: "Restart failed" in resolver.log.read_text())
    assert "kube-system/coredns:5: ttl: 'much'" in resolver.log.read_text()
    assert await resolver.ttl(name) == 12


class Wire:
    """A unix socket in front of the server's, whose connections can all be cut at once."""

    def __init__(self, server: ApiServer) -> None:
        self.target = server.socket
        self.path = server.socket.with_name("wire.sock")
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._connection, self.path)

    async def _connection(self, reader, writer) -> None:
        there = await asyncio.open_unix_connection(self.target)
        self._writers |= {writer, there[1]}
        pipes = (self._pipe(reader, there[1]), self._pipe(there[0], writer))
        await asyncio.gather(*pipes, return_exceptions=True)

    async def _pipe(self, reader, writer) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def close(self) -> None:
        self.cut()
        self._server.close()


async def test_an_api_server_that_was_restarted_hears_of_us_again(server):
    """Its barriers must wait for the resolver as before, though nothing changed meanwhile."""
    wire = Wire(server)
    await wire.open()
    async with asyncio.TaskGroup() as group:
        source = ApiSource(group, HttpClient.unix(wire.path), component="dns/test")
        store = Store()
        source.fill(Wanted(), store)
        await until(lambda: store.synced and source.announced)
        await until(lambda: "dns/test" in server.progress._reported)
        server.progress.forget("dns/test")  # what a restart does
        wire.cut()
        await until(lambda: "dns/test" in server.progress._reported)
        client = server.local_client()
        await client.create(SERVICES, service("later"))
        await client.barrier(timeout=60)
        assert "default/later" in store.services
        cancel(group)
    wire.close()


async def test_a_kind_that_the_server_does_not_have_holds_nothing_up(server):
    """ServiceImports, as long as nobody installed their CRD."""
    async with asyncio.TaskGroup() as group:
        source = ApiSource(group, HttpClient.unix(server.socket), component="dns/test")
        store = Store()
        source.fill(Wanted(imports=True), store)
        await until(lambda: store.synced and source.announced)
        assert not store.services
        client = server.local_client()
        await client.create(SERVICES, service("s"))
        done = await client.barrier(timeout=60)
        assert "dns/test" in done["components"]
        cancel(group)
