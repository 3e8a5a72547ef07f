"""Real kube-proxies in both nodes of the scenarios' world, with netemu's API server behind them.

KUBE_PROXY=/path names the binary.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import proxy_world as world
from netemu.api import meta
from netemu.api.kinds import ENDPOINT_SLICES, NODES, SERVICES
from netemu.apiserver.server import ApiServer
from netemu.config.cluster import ClusterConfig
from netemu.node import netns
from netemu.store.sqlite import SqliteStore
from scenarios import scenario

KUBE_PROXY = os.environ.get("KUBE_PROXY", "")
PORT = 8001
_KINDS = {"Service": SERVICES, "EndpointSlice": ENDPOINT_SLICES}
_PATIENCE = 60.0


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
            client = api.local_client()
            for name, address in scenario.NODES.items():
                await _make_node(client, name, address)
            yield client
        finally:
            for server in servers:
                server.close()
            running.cancel()


async def _make_node(client: Any, name: str, address: str) -> None:
    made = await client.create(NODES, {"metadata": {"name": name}})
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    await client.update(NODES, {**made, "status": status}, subresource="status")


def flags(options: Mapping[str, Any]) -> list[str]:
    """kube-proxy's flags for a scenario's options."""
    found = ["--masquerade-all"] if options.get("masquerade_all") else []
    if options.get("local_cidr", "10.244.0.0/16"):
        found.append("--cluster-cidr=10.244.0.0/16")
    if "node_port_addresses" in options:
        found.append("--nodeport-addresses=" + ",".join(options["node_port_addresses"]))
    return found


@contextlib.contextmanager
def kube_proxies(folder: Path, options: Mapping[str, Any]) -> Iterator[None]:
    """One kube-proxy a node, in iptables mode; its rules go with the namespaces."""
    with contextlib.ExitStack() as stack:
        for node in scenario.NODES:
            log = stack.enter_context((folder / f"{node}.log").open("w"))
            argv = [KUBE_PROXY, f"--master=http://127.0.0.1:{PORT}", f"--hostname-override={node}"]
            argv += ["--proxy-mode=iptables", "--iptables-min-sync-period=10ms", "--v=2"]
            # The machine's own limits are not a node's to change.
            argv += ["--conntrack-max-per-core=0", "--conntrack-min=0", *flags(options)]
            # All nodes share one file system: each has its own lock.
            env = {**os.environ, "XTABLES_LOCKFILE": str(folder / f"{node}.lock")}
            process = subprocess.Popen(
                ["nsenter", f"--net={world.path_of(node)}", *argv], stdout=log, stderr=log, env=env
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield


class Objects:
    """What both kube-proxies are told of."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._present: dict[tuple[str, str, str], Any] = {}
        self._barriers = itertools.count(1)

    async def bring(self, objects: Any) -> None:
        """Have exactly `objects`, status and all, and wait until both nodes' rules say so."""
        wanted = {
            (obj["kind"], meta.namespace(obj), meta.name(obj)): obj
            for obj in objects
            if obj["kind"] in _KINDS
        }
        for kind, namespace, name in self._present.keys() - wanted.keys():
            await self._client.delete(_KINDS[kind], name, namespace)
        self._present = {key: self._present[key] for key in self._present.keys() & wanted.keys()}
        for key, obj in wanted.items():
            self._present[key] = await self._put(_KINDS[key[0]], self._present.get(key), obj)
        # Twice: stale UDP entries go after the rules, but before the next sync.
        for _ in range(2):
            await self._wait_for_a_sync()

    async def _wait_for_a_sync(self) -> None:
        """Make a Service that comes last in both of kube-proxy's watches.

        It puts in all rules at once: where this one's endpoint is, everything before it is.
        """
        number = next(self._barriers)
        address = f"10.244.{200 + number // 250}.{number % 250 + 1}"
        service, endpoints = _barrier(number, address)
        await self._client.create(SERVICES, service)
        await self._client.create(ENDPOINT_SLICES, endpoints)
        await _programmed(address)
        for resource in (SERVICES, ENDPOINT_SLICES):
            await self._client.delete(resource, service["metadata"]["name"], "default")

    async def _put(self, resource: Any, former: Any, obj: Any) -> Any:
        if former is None:
            made = await self._client.create(resource, obj)
        else:
            place = {**obj["metadata"], "resourceVersion": former["metadata"]["resourceVersion"]}
            made = await self._client.update(resource, {**obj, "metadata": place})
        if resource is SERVICES and (obj.get("status") or former):
            changed = {**made, "status": obj.get("status") or {}}
            made = await self._client.update(resource, changed, subresource="status")
        return made


def _barrier(number: int, address: str) -> tuple[Any, Any]:
    place = {"namespace": "default", "name": f"barrier-{number}"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": place,
        "spec": {"ports": [{"port": 9}]},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**place, "labels": {"kubernetes.io/service-name": place["name"]}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 9, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }
    return service, endpoints


async def _programmed(address: str) -> None:
    async with asyncio.timeout(_PATIENCE):
        for node in scenario.NODES:
            while not await _has(node, f"--to-destination {address}:9"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def _has(node: str, rule: str) -> bool:
    saved = await netns.run(world.path_of(node), ["iptables-save", "-t", "nat"])
    return rule in saved.decode()
