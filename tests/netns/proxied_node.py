"""A NodeProxy on a namespace of its own, and the API server that it follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from netemu.aio import spawn
from netemu.api.kinds import EVENTS
from netemu.api.kinds.endpointslice import ENDPOINT_SLICES
from netemu.api.kinds.node import NODES
from netemu.api.kinds.service import SERVICES
from netemu.apiserver.server import ApiServer
from netemu.client.events import EventRecorder
from netemu.client.protocol import ApiClient
from netemu.config import ClusterConfig
from netemu.node import capabilities, netns
from netemu.node.proxy import NodeProxy
from netemu.node.proxyoptions import ProxyOptions

NAME = "proxytest"


def has_ipvs() -> bool:
    return any(c.name == "ipvs" and c.present for c in capabilities.probe())


def service(name: str = "web", ip: str = "10.96.0.20", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80}], **spec},
    }


def endpoints(
    name: str = "web", *addresses: str, port: int = 8080, ready: bool = True
) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": f"{name}-x",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": port}],
        "endpoints": [
            {
                "addresses": [address],
                "nodeName": "node-1",
                "conditions": {"ready": ready, "serving": True, "terminating": not ready},
            }
            for address in addresses
        ],
    }


class Cluster:
    def __init__(self, api: ApiServer, client: ApiClient, proxy: NodeProxy, path: str) -> None:
        self.api, self.client, self.proxy, self.path = api, client, proxy, path

    async def apply(self, *objects: dict[str, Any]) -> None:
        """Create, or replace what is there; then wait until the node has it."""
        for obj in objects:
            resource = SERVICES if obj["kind"] == "Service" else ENDPOINT_SLICES
            found = await self.client.list(resource, "default")
            name = obj["metadata"]["name"]
            if name in {x["metadata"]["name"] for x in found.items}:
                await self.client.patch(resource, name, "default", obj)
            else:
                await self.client.create(resource, obj)
        answer = await self.client.barrier(timeout=60)
        assert "node-1/proxy" in answer["components"]

    async def rules(self) -> str:
        """Everything that the kernel shows of any mode."""
        shown = [
            await netns.run(self.path, ["nft", "list", "ruleset"]),
            await netns.run(self.path, ["iptables-save"]),
            await netns.run(self.path, ["ip", "link"]),
        ]
        if has_ipvs():
            shown.append(await netns.run(self.path, ["ipset", "save"]))
            shown.append(await netns.run(self.path, ["ipvsadm", "-Sn"]))
        return "\n".join(part.decode() for part in shown)

    async def warnings(self, name: str) -> list[str]:
        """What the proxy warned of at the Service `name`."""
        events = await self.client.list(EVENTS, "default")
        return [
            f"{event['reason']}: {event['message']}"
            for event in events.items
            if event["involvedObject"]["name"] == name and event["type"] == "Warning"
        ]

    async def until_warned(self, name: str, reason: str) -> None:
        async with asyncio.timeout(60):
            while not any(w.startswith(reason) for w in await self.warnings(name)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def until(self, text: str) -> None:
        async with asyncio.timeout(60):
            while text not in await self.rules():  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def cluster(path: str, mode: str, **options: Any) -> AsyncIterator[Cluster]:
    config = ClusterConfig(name=NAME)
    config.run_dir.mkdir(parents=True, exist_ok=True)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    api = ApiServer(config)
    await api.open()
    client = api.local_client()
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
    await client.create(NODES, node)
    events = EventRecorder(client, "kube-proxy", "node-1")
    proxy = NodeProxy(client, "node-1", path, ProxyOptions(mode=mode, **options), events=events)
    try:
        async with asyncio.TaskGroup() as group:
            task = spawn(group, proxy.run(), name="proxy")
            here = Cluster(api, client, proxy, path)
            async with asyncio.timeout(60):
                while "node-1/proxy" not in (await client.barrier())["components"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            yield here
            task.cancel()
    finally:
        await api.close()
        await _remove(config)


async def _remove(config: ClusterConfig) -> None:
    def remove() -> None:
        import shutil

        shutil.rmtree(config.run_dir, ignore_errors=True)
        shutil.rmtree(config.data_dir, ignore_errors=True)

    await asyncio.to_thread(remove)
