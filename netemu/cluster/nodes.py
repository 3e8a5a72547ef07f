"""The node agents of one daemon: started with it, added, stopped and removed while it runs.

Stopping a node pulls its cable and its agent; what the rest of the cluster makes of that is up to
the node lifecycle controller, as with a real machine. Each change goes into `cluster.json` first,
so that a new daemon starts the same nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from netemu.aio import spawn
from netemu.api.kinds import NODES
from netemu.client.protocol import ApiClient
from netemu.cluster import state
from netemu.cluster.node_agent import NodeAgent
from netemu.config import ClusterConfig, NodeConfig
from netemu.config.cluster import PROXY_MODES
from netemu.errors import ApiError, ConfigError, NetemuError
from netemu.node.capabilities import needed_by, require
from netemu.node.fabric import Fabric
from netemu.node.machine import Machine

MakeAgent = Callable[[NodeConfig, Machine], NodeAgent]
Claim = Callable[[Sequence[str]], Awaitable[None]]
"""Told which nodes are ours from now on; MembershipError when another server has one of them."""


class Nodes:
    """`config` is what is true now; `run` owns every agent's task."""

    def __init__(
        self,
        config: ClusterConfig,
        client: ApiClient,
        fabric: Fabric,
        make_agent: MakeAgent,
        claim: Claim,
    ) -> None:
        self.config = config
        self._claim = claim
        self._client, self._fabric, self._make_agent = client, fabric, make_agent
        self.agents: dict[str, NodeAgent] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.registered = asyncio.Event()
        """Set once every node of the cluster has its Node object."""

    async def run(self) -> None:
        """All nodes of the cluster, until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for node in self.config.nodes:
                # one after the other, so that node-1 gets the first pod network
                await self._start(node).kubelet.registered.wait()
            self.registered.set()
            await asyncio.get_running_loop().create_future()

    def _start(self, node: NodeConfig) -> NodeAgent:
        assert self._group is not None
        agent = self._make_agent(node, self._fabric.machines[node.name])
        self.agents[node.name] = agent
        self._tasks[node.name] = spawn(self._group, agent.run(), name=node.name)
        return agent

    async def _end(self, name: str) -> None:
        self.agents.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _node(self, name: str) -> NodeConfig:
        for node in self.config.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.config.nodes)
        raise ConfigError([f'node "{name}" not found (nodes: {known})'])

    def _save(self, nodes: tuple[NodeConfig, ...]) -> None:
        self.config = replace(self.config, nodes=nodes)
        state.save_config(self.config)

    async def add(self, node: NodeConfig) -> None:
        """A new machine on the underlay that joins the cluster."""
        if any(other.name == node.name for other in self.config.nodes):
            raise ConfigError([f'node "{node.name}" exists already'])
        await asyncio.to_thread(require, *needed_by([node.proxy_mode]))
        await self._claim([*(other.name for other in self.config.nodes), node.name])
        await self._fabric.add([node.name])
        self._save((*self.config.nodes, node))
        self._start(node)

    async def delete(self, name: str) -> None:
        """Take a node out: its Node object, its pods' processes and networks, its machine."""
        node = self._node(name)
        await self._end(name)
        with suppress(ApiError):
            await self._client.delete(NODES, name)
        # A stopped node has no agent, and what ran there runs on: a new one clears it away.
        await self._make_agent(node, self._fabric.machines[name]).dismantle()
        await self._fabric.remove(name)
        self._save(tuple(other for other in self.config.nodes if other is not node))
        await self._claim([other.name for other in self.config.nodes])

    async def stop(self, name: str) -> None:
        """As if somebody pulled the plug of its network and of its kubelet."""
        self._node(name)
        await self._end(name)
        await self._fabric.set_power(name, False)

    async def start(self, name: str) -> None:
        """Plug a stopped node in again."""
        node = self._node(name)
        await self._fabric.set_power(name, True)
        if name not in self.agents:
            self._start(node)

    async def rules(self, name: str, family: int, service: str = "") -> list[dict[str, str]]:
        """A node's proxy rules in one IP family (4 or 6), all or one Service's, with their origin.

        `service` is `namespace/name`; each answer has `where`, `rule` and `origin`.
        """
        from netemu.proxy.provenance import explain_rules  # with every mode's compiler

        agent = self.agents.get(self._node(name).name)
        if agent is None:
            raise NetemuError(f"node {name} is stopped", hint=f"netemu rules {name} --kernel")
        proxy = agent.proxy
        if family not in proxy.families:
            raise NetemuError(f"the cluster's Services have no IPv{family} addresses")
        # of this moment: syncs go on while the thread below writes the rules out
        held, view = dict(proxy.services(family)), proxy.view(family)
        explained = await asyncio.to_thread(explain_rules, proxy.mode, held, view, service=service)
        return [asdict(rule) for rule in explained]

    async def set_proxy_mode(self, mode: str, name: str = "") -> None:
        """Switch one node, or all, to another proxy mode."""
        if mode not in PROXY_MODES:
            raise ConfigError([f'unknown proxy mode "{mode}" (modes: {", ".join(PROXY_MODES)})'])
        names = [self._node(name).name] if name else [node.name for node in self.config.nodes]
        await asyncio.to_thread(require, *needed_by([mode]))
        for each in names:
            if each in self.agents:
                await self.agents[each].proxy.set_mode(mode)
            # One by one: if the next node's kernel refuses, this one has changed.
            nodes = self.config.nodes
            self._save(tuple(replace(n, proxy_mode=mode) if n.name == each else n for n in nodes))
