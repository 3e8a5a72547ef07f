"""A cluster's network alone: underlay, nodes, overlay, pods; an API server, no kubelet or proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

from netemu.aio import spawn
from netemu.api.kinds.node import NODES
from netemu.apiserver.server import ApiServer
from netemu.config import ClusterConfig
from netemu.node import cleanup, netns
from netemu.node.fabric import Fabric
from netemu.node.ledger import Ledger
from netemu.node.machine import HOST, Machine
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.overlay import NodeOverlay
from netemu.node.podnetwork import PodNetwork, PodRequest, PodSandbox


class EmulatedNetwork:
    """`nodes`, `hosts`: machines by name. `pods`: sandboxes by pod name."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.ledger = Ledger(config.run_dir)
        self.fabric = Fabric(config, self.ledger)
        self.holder = NamespaceHolder(config.run_dir, self.ledger)
        config.data_dir.mkdir(parents=True, exist_ok=True)
        self.ledger.record("dir", path=str(config.data_dir))
        self.api = ApiServer(config)
        self.nodes: dict[str, Machine] = {}
        self.networks: dict[str, PodNetwork] = {}
        self.pods: dict[str, PodSandbox] = {}

    async def open(self, names: Sequence[str]) -> None:
        await self.api.open()
        self.client = self.api.local_client()
        await self.fabric.open()
        for machine in await self.fabric.add(list(names)):
            self.nodes[machine.name] = machine
        for host in self.config.hosts:
            await self.fabric.add({host.name: host.address}, HOST)
        await asyncio.to_thread(self.holder.open)
        for name in names:
            self.networks[name] = PodNetwork(
                self.config,
                name,
                self.nodes[name].netns,
                holder=self.holder,
                ledger=self.ledger,
            )
            await self.networks[name].adopt()

    def overlay(self, name: str) -> NodeOverlay:
        machine = self.nodes[name]
        return NodeOverlay(
            self.client,
            self.config,
            name,
            machine.netns,
            machine.addresses,
            pod_network=self.networks[name],
            resync=0.2,
        )

    async def register(self, name: str, cidrs: Sequence[str]) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name},
            "spec": {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)},
        }
        await self.client.create(NODES, node)

    async def add_pod(self, node: str, name: str) -> PodSandbox:
        request = PodRequest(uid=f"uid-{name}", namespace="default", name=name)
        (self.pods[name],) = await self.networks[node].add([request])
        return self.pods[name]

    async def settle(self) -> Mapping[str, int]:
        """Wait until all overlays have published their leases and programmed all of them."""
        async with asyncio.timeout(60):
            while not all(map(_published, (await self.client.list(NODES)).items)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            answer = await self.client.barrier()
        components: Mapping[str, int] = answer["components"]
        return components

    async def at(self, where: str, *argv: str, timeout: float = 60.0) -> str:
        """Output of a program run in a pod, a node, a host, or the fabric."""
        if where in self.pods:
            path = self.pods[where].netns
        elif where == "machine":
            path = "/proc/self/ns/net"
        else:
            path = netns.path_of(f"{self.config.name}.{where}")
        return (await netns.run(path, argv, timeout=timeout)).decode()

    async def close(self) -> cleanup.Report:
        self.fabric.close()
        for pods in self.networks.values():
            pods.close()
        await asyncio.to_thread(self.holder.close)
        await self.api.close()
        return await asyncio.to_thread(cleanup.clean, self.config.run_dir)


def _published(node: dict) -> bool:  # type: ignore[type-arg]
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "NetworkUnavailable" for condition in conditions)


@asynccontextmanager
async def emulated(
    config: ClusterConfig, *, pods: Mapping[str, str]
) -> AsyncIterator[EmulatedNetwork]:
    """A network with the config's nodes and `pods` (name -> node), all overlays running."""
    network = EmulatedNetwork(config)
    names = [node.name for node in config.nodes]
    try:
        await network.open(names)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number, name in enumerate(names):
                await network.register(name, _cidrs(config, number))
                tasks.append(spawn(group, network.overlay(name).run(), name=name))
            for pod, node in pods.items():
                await network.add_pod(node, pod)
            await network.settle()
            yield network
            for task in tasks:
                task.cancel()
    finally:
        report = await network.close()
    assert report.left == []


def _cidrs(config: ClusterConfig, number: int) -> list[str]:
    cidrs = []
    for subnet in config.pod_subnets:
        mask = config.node_cidr_mask_v6 if ":" in subnet else config.node_cidr_mask
        whole = ip_network(subnet)
        step = int(whole.max_prefixlen) - mask
        base = int(whole.network_address) + (number << step)
        cidrs.append(f"{type(whole.network_address)(base)}/{mask}")
    return cidrs
