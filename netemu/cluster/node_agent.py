"""One node's agent: kubelet, overlay and proxy, each knowing the cluster only by the API."""

from __future__ import annotations

import asyncio
import shutil

from netemu.aio import Clock, spawn
from netemu.client.events import EventRecorder
from netemu.client.protocol import ApiClient
from netemu.config import ClusterConfig, NodeConfig
from netemu.node.kubelet.context import TokenIssuer
from netemu.node.kubelet.kubelet import Kubelet
from netemu.node.ledger import Ledger
from netemu.node.machine import Machine
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.network_maker import Build
from netemu.node.overlay import NodeOverlay
from netemu.node.podnetwork import PodNetwork
from netemu.node.proxy import NodeProxy
from netemu.node.proxyoptions import ProxyOptions
from netemu.proxy.services import SharedDecisions


def proxy_options(config: ClusterConfig, node: NodeConfig) -> ProxyOptions:
    """kube-proxy's options on `node`; its own mode wins over the cluster's."""
    return ProxyOptions(
        mode=node.proxy_mode or config.proxy.mode,
        pod_cidrs=config.pod_subnets,
        service_cidrs=config.service_subnets,
        masquerade_all=config.proxy.masquerade_all,
        node_port_addresses=config.proxy.node_port_addresses,
        localhost_node_ports=config.proxy.localhost_node_ports,
        min_sync_period=config.proxy.min_sync_period,
        sync_period=config.proxy.sync_period,
        ipvs_scheduler=config.proxy.ipvs_scheduler,
        lock_file=str(config.node_dir(node.name) / "xtables.lock"),
    )


class NodeAgent:
    """Runs `node` on `machine`, its namespace."""

    def __init__(
        self,
        config: ClusterConfig,
        node: NodeConfig,
        machine: Machine,
        client: ApiClient,
        *,
        holder: NamespaceHolder,
        ledger: Ledger,
        build: Build,
        nameserver: str,
        tokens: TokenIssuer,
        clock: Clock,
        decisions: SharedDecisions | None = None,
    ) -> None:
        self.name = node.name
        self._directory = config.node_dir(node.name)
        self._network = PodNetwork(
            config, node.name, machine.netns, holder=holder, ledger=ledger, build=build
        )
        self.kubelet = Kubelet(
            client,
            config,
            node,
            machine,
            network=self._network,
            ledger=ledger,
            nameserver=nameserver,
            tokens=tokens,
            clock=clock,
        )
        self.overlay = NodeOverlay(
            client,
            config,
            node.name,
            machine.netns,
            machine.addresses,
            pod_network=self._network,
            clock=clock,
        )
        self.proxy = NodeProxy(
            client,
            node.name,
            machine.netns,
            proxy_options(config, node),
            clock=clock,
            events=EventRecorder(client, "kube-proxy", node.name, clock=clock),
            decisions=decisions,
        )

    async def run(self) -> None:
        """Until cancelled; the node's data plane stays."""
        try:
            await self._network.adopt()
            async with asyncio.TaskGroup() as group:
                spawn(group, self.kubelet.run(), name=f"{self.name}/kubelet")
                spawn(group, self.overlay.run(), name=f"{self.name}/overlay")
                spawn(group, self.proxy.run(), name=f"{self.name}/proxy")
        finally:
            self._network.close()

    async def dismantle(self) -> None:
        """End the node's pods for good and remove its files. Only for an agent that never ran."""
        await self.kubelet.dismantle()
        await self._network.adopt()
        await self._network.remove(list(self._network.sandboxes()))
        self._network.close()
        await asyncio.to_thread(shutil.rmtree, self._directory, True)
