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
_KUBELETS_RULES = b"""*nat
:KUBE-MARK-DROP - [0:0]
-A KUBE-MARK-DROP -j MARK --or-mark 0x8000
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-I INPUT -j KUBE-FIREWALL
-I OUTPUT -j KUBE-FIREWALL
COMMIT
"""
_KINDS = {"Service": SERVICES, "EndpointSlice": ENDPOINT_SLICES}
_PATIENCE = 60.0 * float(os.environ.get("NETEMU_SLOW", "1"))
BARRIER, BARRIER_IP, BARRIER_ENDPOINT = "barrier", "10.99.0.1", "10.244.200.1"
API_KEY, BARRIER_KEY = "default/kubernetes:https", f"default/{BARRIER}"
"""What kube-proxy has rules for besides a scenario's Services."""
_FIRST_PORT = 10000
_IPVS_TABLE = Path("/proc/thread-self/net/ip_vs")


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


def play_kubelet() -> None:
    """kubelet of that time dropped what kube-proxy only marked; IPVS would serve it otherwise."""
    for node in scenario.NODES:
        restore = ["iptables-restore", "--noflush"]
        netns.run_blocking(world.path_of(node), restore, stdin=_KUBELETS_RULES)


def flags(options: Mapping[str, Any]) -> list[str]:
    """kube-proxy's flags for a scenario's options."""
    found = ["--masquerade-all"] if options.get("masquerade_all") else []
    if options.get("local_cidr", "10.244.0.0/16"):
        found.append("--cluster-cidr=10.244.0.0/16")
    if "node_port_addresses" in options:
        found.append("--nodeport-addresses=" + ",".join(options["node_port_addresses"]))
    return found


@contextlib.contextmanager
def kube_proxies(folder: Path, mode: str, options: Mapping[str, Any]) -> Iterator[None]:
    """One kube-proxy a node, in `mode`; its rules go with the namespaces."""
    with contextlib.ExitStack() as stack:
        for node in scenario.NODES:
            log = stack.enter_context((folder / f"{node}.log").open("w"))
            argv = [KUBE_PROXY, f"--master=http://127.0.0.1:{PORT}", f"--hostname-override={node}"]
            argv += [f"--proxy-mode={mode}", f"--{mode}-min-sync-period=10ms", "--v=2"]
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

    def __init__(self, client: Any, mode: str) -> None:
        self._client, self._mode = client, mode
        self._present: dict[tuple[str, str, str], Any] = {}
        self._barrier: dict[Any, Any] = {}
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
        # Twice: sets and stale UDP entries come after the endpoints, but before the next sync.
        for _ in range(2):
            await self._wait_for_a_sync()

    async def _wait_for_a_sync(self) -> None:
        """Change a Service and its endpoint, which come last in both of kube-proxy's watches.

        A sync takes in all that is known by then: where both changes show, what came before them
        is in, or comes in the same sync.
        """
        number = next(self._barriers)
        for resource, obj in _barrier(number):
            self._barrier[resource] = await self._put(resource, self._barrier.get(resource), obj)
        async with asyncio.timeout(_PATIENCE):
            for node in scenario.NODES:
                while not await _is_in(self._mode, node, number):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

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


def _barrier(number: int) -> list[tuple[Any, Any]]:
    """A Service, and where it leads, that tell by their ports which one they are."""
    place = {"namespace": "default", "name": BARRIER}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": place,
        "spec": {"ports": [{"port": _FIRST_PORT + number}], "clusterIP": BARRIER_IP},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**place, "labels": {"kubernetes.io/service-name": BARRIER}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": _FIRST_PORT + number, "protocol": "TCP"}],
        "endpoints": [{"addresses": [BARRIER_ENDPOINT], "conditions": {"ready": True}}],
    }
    return [(SERVICES, service), (ENDPOINT_SLICES, endpoints)]


async def _is_in(mode: str, node: str, number: int) -> bool:
    """Whether the node's rules have the Service's port, and the endpoint's."""
    port, path = _FIRST_PORT + number, world.path_of(node)
    if mode == "ipvs":  # no program is started: that is slow in User Mode Linux
        table = await netns.await_in(path, _IPVS_TABLE.read_text)
        endpoint = socket.inet_aton(BARRIER_ENDPOINT).hex().upper()
        return f":{port:04X} rr" in table and f"-> {endpoint}:{port:04X}" in table
    saved = (await netns.run(path, ["iptables-save", "-t", "nat"])).decode()
    return f"--dport {port} " in saved and f"--to-destination {BARRIER_ENDPOINT}:{port}" in saved
