"""The real kube-proxy in netemu's nodes, in place of netemu's own: the same flows must pass.

KUBE_PROXY=/path names the binary. It runs in both nodes of the scenarios' world and gets everything
from netemu's API server. Only cases that hold since 1.20 are here: that one still kept bridged
packets from external addresses (physdev), and did not refuse what it would only have forwarded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import proxy_world as world
from netemu.api.kinds import ENDPOINT_SLICES, NODES, SERVICES
from netemu.apiserver.server import ApiServer
from netemu.config.cluster import ClusterConfig
from netemu.node import netns
from netemu.store.sqlite import SqliteStore
from scenarios import scenario

KUBE_PROXY = os.environ.get("KUBE_PROXY", "")
CASES = (
    "affinity",
    "cluster-ip",
    "cluster-ip-many-endpoints",
    "cluster-ip-same-port-different-protocols",
    "cluster-ip-target-port",
    "cluster-ip-wrong-port",
    "external-policy-local",
    "external-policy-local-none-here",
    "hairpin",
    "hairpin-node-port",
    "headless",
    "masquerade-matrix",
    "multiport-node-ports",
    "node-port-cluster",
    "node-port-localhost",
    "node-port-udp",
    "same-endpoint-two-services",
    "source-preserved",
)
PORT = 8001
PATIENCE = 20.0
"""Seconds until its rules must hold: it gathers changes for one second, and tells nobody when."""

pytestmark = [
    pytest.mark.skipif(not KUBE_PROXY, reason="no kube-proxy at hand; KUBE_PROXY=/path names one"),
    pytest.mark.skipif(os.geteuid() != 0, reason="kube-proxy in a node needs root"),
]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Whoever asks before the rules are there is not translated, and its retries are not either.
    monkeypatch.setattr(world, "GIVE_UP", 2.5)
    world.destroy()
    world.build()
    yield
    world.destroy()


@contextlib.asynccontextmanager
async def api_in_nodes(folder: Path) -> AsyncIterator[Any]:
    """netemu's API server, reached as 127.0.0.1:8001 from inside both nodes."""
    store, path = SqliteStore(folder / "store.db"), folder / "api.sock"
    api = ApiServer(ClusterConfig(name="kubeproxy"), store=store, socket=path, pki=folder / "pki")
    ready = asyncio.Event()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_unix_connection(path)
        await asyncio.gather(carry(reader, requests), carry(answers, writer))

    async with asyncio.TaskGroup() as group:
        running = group.create_task(api.run(ready=ready))
        await ready.wait()
        servers = []
        for node in scenario.NODES:
            sock = netns.socket_in(world.path_of(node), socket.AF_INET, socket.SOCK_STREAM)
            sock.bind(("127.0.0.1", PORT))
            servers.append(await asyncio.start_server(relay, sock=sock))
        try:
            yield api.local_client()
        finally:
            for server in servers:
                server.close()
            running.cancel()


@contextlib.contextmanager
def kube_proxies(folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One kube-proxy a node, in iptables mode; its rules go with the namespaces."""
    with contextlib.ExitStack() as stack:
        processes = []
        for node in scenario.NODES:
            log = stack.enter_context((folder / f"{node}.log").open("w"))
            argv = [KUBE_PROXY, f"--master=http://127.0.0.1:{PORT}", f"--hostname-override={node}"]
            argv += ["--proxy-mode=iptables", "--cluster-cidr=10.244.0.0/16", "--v=2"]
            # The machine's own limits are not a node's to change.
            argv += ["--conntrack-max-per-core=0", "--conntrack-min=0"]
            # All nodes share one file system: each has its own lock.
            env = {**os.environ, "XTABLES_LOCKFILE": str(folder / f"{node}.lock")}
            process = subprocess.Popen(
                ["nsenter", f"--net={world.path_of(node)}", *argv], stdout=log, stderr=log, env=env
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            processes.append(process)
        yield processes


async def put(client: Any, step: Any) -> None:
    """The objects of a step, status and all."""
    for obj in step.objects:
        resource = {"Service": SERVICES, "EndpointSlice": ENDPOINT_SLICES, "Node": NODES}[
            obj["kind"]
        ]
        if resource is NODES:
            continue
        made = await client.create(resource, obj)
        if "status" in obj:
            await client.update(resource, {**made, "status": obj["status"]}, subresource="status")


async def clear(client: Any) -> None:
    for resource in (SERVICES, ENDPOINT_SLICES):
        for obj in (await client.list(resource)).items:
            place = obj["metadata"]
            await client.delete(resource, place["name"], place["namespace"])


async def holds(step: Any) -> None:
    """The step's flows, again and again until they pass or patience ends."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            await world.check_step(step, "iptables")
            return
        except* AssertionError:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.2)


async def test_the_same_flows_pass(built: None) -> None:
    cases = {case.name: case for case in scenario.every()}
    folder = Path(tempfile.mkdtemp(prefix="kube-proxy"))
    try:
        async with api_in_nodes(folder) as client:
            for name, address in scenario.NODES.items():
                await put_node(client, name, address)
            with kube_proxies(folder) as processes:
                for name in CASES:
                    await one_case(client, cases[name].steps[0], name)
                    ended = [p.args for p in processes if p.poll() is not None]
                    assert not ended, (folder / "node-1.log").read_text()[-2000:]
    finally:
        shutil.rmtree(folder)


async def one_case(client: Any, step: Any, name: str) -> None:
    await put(client, step)
    servers = world.Servers()
    try:
        servers.serve(world.endpoints_of(step))
        await holds(step)
    except* AssertionError as wrong:
        raise AssertionError(f"{name}: {[str(each) for each in wrong.exceptions]}") from None
    finally:
        servers.close()
    await clear(client)


async def put_node(client: Any, name: str, address: str) -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }
    made = await client.create(NODES, node)
    await client.update(NODES, {**made, "status": node["status"]}, subresource="status")
