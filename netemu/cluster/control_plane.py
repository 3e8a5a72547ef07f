"""Everything one daemon runs, wired together: the API server, controllers, scheduler, node agents.

The order of a start: the underlay and the store side by side, then the API, then all that lives off
it at once. `ready` is said when every node is Ready, the resolver answers, and a barrier went
through: from then on applied means that packets flow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from netemu.aio import SystemClock, spawn
from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds import DEPLOYMENTS, NODES
from netemu.apiserver.kubeconfig import write_kubeconfig
from netemu.apiserver.members import Member, Members, read_members
from netemu.apiserver.server import ApiServer
from netemu.client.election import LeaderElection
from netemu.client.informer import Informer
from netemu.client.kubelet import KubeletApi
from netemu.cluster import resolvers
from netemu.cluster.addons import NAMESPACE, apply_addons
from netemu.cluster.control import Control
from netemu.cluster.controllers import Controllers
from netemu.cluster.membership import LEADER_LEASE, member_of
from netemu.cluster.node_agent import NodeAgent
from netemu.cluster.nodes import Nodes
from netemu.cluster.reboot import forget_readiness
from netemu.cluster.report import Report
from netemu.cluster.usage import ClusterUsage
from netemu.config import ClusterConfig, NodeConfig
from netemu.dns.relay import Relay
from netemu.errors import ApiError, NetemuError
from netemu.node.fabric import Fabric
from netemu.node.ledger import Ledger
from netemu.node.machine import HOST, Machine
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.network_maker import NetworkMaker
from netemu.node.outside_hosts import OutsideHosts
from netemu.proxy.services import SharedDecisions

API_PORT = 6443
"""Where pods find the API, on the machine's end of the underlay."""
START_LIMIT = 30.0
"""Seconds until a start that is not ready counts as failed."""


class ControlPlane:
    """One daemon's cluster: `run` starts all of it and ends all of it when cancelled."""

    def __init__(self, config: ClusterConfig, report: Report, maker: NetworkMaker) -> None:
        self._config, self._report, self._maker = config, report, maker
        self._clock = SystemClock()
        self._ledger = Ledger(config.run_dir)
        self._fabric = Fabric(config, self._ledger)
        self._holder = NamespaceHolder(config.run_dir, self._ledger)
        self._usage = ClusterUsage(lambda: self._nodes.agents)
        self._server = ApiServer(
            config, kubelets=self._kubelet, usage=self._usage, clock=self._clock
        )
        self._client = self._server.local_client()
        self._decisions = SharedDecisions()
        self._members: Members | None = None
        self._servers: Sequence[Member] = ()
        self._resolvers: list[str] = []
        self._nodes = Nodes(config, self._client, self._fabric, self._agent, self._claim)

    def _kubelet(self, node: str) -> KubeletApi:
        agent = self._nodes.agents.get(node)
        if agent is None:
            raise ApiError("ServiceUnavailable", self._elsewhere(node))
        return agent.kubelet

    def _elsewhere(self, node: str) -> str:
        """Why we cannot speak with a node's kubelet."""
        for member in self._servers:
            if node in member.nodes:
                server = f"https://{member.address}:{member.port}"
                return f'node "{node}" is run by {member}: ask the API server there, {server}'
        return f'node "{node}" has no agent here'

    async def _token(
        self, namespace: str, account: str, audience: str, source: Object, pod: Object
    ) -> str:
        """A pod's token for its ServiceAccount, as the projected volume `source` asks for it."""
        spec: Object = {
            "expirationSeconds": source.get("expirationSeconds", 3607),
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta.name(pod),
                "uid": meta.uid(pod),
            },
        }
        if audience:
            spec["audiences"] = [audience]
        return str(self._server.token(namespace, account, **spec)["status"]["token"])

    def _agent(self, node: NodeConfig, machine: Machine) -> NodeAgent:
        return NodeAgent(
            self._config,
            node,
            machine,
            self._client,
            holder=self._holder,
            ledger=self._ledger,
            build=self._maker.builder(),
            nameserver=self._fabric.serving_address,
            tokens=self._token,
            clock=self._clock,
            decisions=self._decisions,
        )

    async def run(self) -> None:
        """Until cancelled. What it made in the kernel stays."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(START_LIMIT) as limit, asyncio.TaskGroup() as group:
                await self._open(group)
                await self._start(group)
                await self._wait_ready()
                self._report.ready(
                    seconds=time.monotonic() - started,
                    nodes=len(self._nodes.agents),
                    nodeSubnet=self._fabric.node_subnet,
                    apiPort=self._server.port,
                )
                limit.reschedule(None)
        except TimeoutError:
            raise NetemuError(
                f"the cluster was not ready after {START_LIMIT:g} s", hint="netemu doctor"
            ) from None
        finally:
            self._fabric.close()
            self._holder.close()

    async def _open(self, group: asyncio.TaskGroup) -> None:
        ready = asyncio.Event()
        spawn(group, self._server.run(ready=ready), name="api-server")
        avoid: list[str] = []
        if self._server.store.shared:  # others' underlays: their nodes must have other addresses
            await ready.wait()
            avoid = [member.node_subnet for member in await read_members(self._server.store)]
        await self._fabric.open(avoid)
        held = await asyncio.to_thread(self._holder.open)
        names = [node.name for node in self._config.nodes]
        await self._fabric.add(names)
        if self._config.hosts:
            await self._fabric.add({host.name: host.address for host in self._config.hosts}, HOST)
        self._report.step(f"{len(names)} nodes on {self._fabric.node_subnet}")
        await ready.wait()
        if not held:  # whatever pods the store knows of, their networks are gone
            await forget_readiness(self._client, names)
        else:
            self._resolvers = await resolvers.expect_resolvers(
                self._client, self._config, self._server.progress.expect
            )
        self._report.step(f"API on {self._config.api_socket}")

    async def _start(self, group: asyncio.TaskGroup) -> None:
        config, address = self._config, self._fabric.serving_address
        await self._server.listen(address, API_PORT)
        if self._server.store.shared:
            await self._join(group, address)
        else:
            await self._server.set_endpoint(address, API_PORT)
        write_kubeconfig(config.run_dir / "kubeconfig", self._server.admin_kubeconfig())
        relay = Relay(address, upstreams=config.upstream_nameservers)
        control = Control(config.run_dir / "control.sock", self._nodes)
        spawn(group, self._control(), name="controllers")
        spawn(group, self._nodes.run(), name="nodes")
        hosts = OutsideHosts(config, self._fabric.machines, self._ledger, self._clock)
        spawn(group, hosts.run(), name="outside-hosts")
        spawn(group, relay.run(), name="dns-relay")
        spawn(group, control.run(), name="control")
        await self._nodes.registered.wait()  # before, all resolvers would land on the first node
        await apply_addons(self._client, config)

    async def _join(self, group: asyncio.TaskGroup, address: str) -> None:
        """Become one of the cluster's servers, unless another has our nodes or other settings."""
        me = replace(
            member_of(self._config),
            address=address,
            port=API_PORT,
            node_subnet=self._fabric.node_subnet,
        )
        self._members = self._server.members(me)
        await self._members.join()
        spawn(group, self._members.run(self._met), name="members")

    async def _met(self, members: Sequence[Member]) -> None:
        """Lead the Service `kubernetes` to all servers, and our nodes towards theirs."""
        self._servers = members
        await self._server.set_members(members)
        others = [member.node_subnet for member in members if member.address]
        await self._fabric.set_peers(each for each in others if each != self._fabric.node_subnet)

    async def _claim(self, names: Sequence[str]) -> None:
        if self._members is not None:
            await self._members.set_nodes(names)

    async def _control(self) -> None:
        """Controllers and scheduler: in one cluster's daemon only, where several share an etcd."""

        async def lead() -> None:
            await Controllers(
                self._client,
                self._config,
                self._clock,
                root_ca=self._server.pki.ca_pem.decode(),
                metrics=self._usage,
            ).run()

        if self._members is None:
            await lead()
            return
        election = LeaderElection(
            self._client, self._clock, name=LEADER_LEASE, identity=self._members.me.id
        )
        await election.run(lead)

    async def _wait_ready(self) -> None:
        async with asyncio.TaskGroup() as group:
            nodes = Informer(self._client, NODES)
            deployments = Informer(self._client, DEPLOYMENTS, namespace=NAMESPACE)
            followers = [
                spawn(group, nodes.run(), name="wait-nodes"),
                spawn(group, deployments.run(), name="wait-dns"),
            ]
            own = {node.name for node in self._config.nodes}
            await _until(nodes, lambda: own <= _ready_nodes(nodes))
            self._report.step("nodes are Ready")
            if self._config.dns_replicas:
                await _until(deployments, lambda: _available(deployments, "coredns"))
                self._report.step("the resolver answers")
            for follower in followers:
                follower.cancel()
        await resolvers.barrier(self._client, self._resolvers, self._server.progress.forget)


async def _until(informer: Informer, condition: Callable[[], bool]) -> None:
    changed = asyncio.Event()
    informer.on_change(lambda old, new: changed.set())
    while not condition():
        changed.clear()
        await changed.wait()


def _ready_nodes(nodes: Informer) -> set[str]:
    return {
        meta.name(node)
        for node in nodes.objects.values()
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in (node.get("status") or {}).get("conditions") or ()
        )
    }


def _available(deployments: Informer, name: str) -> bool:
    found = deployments.get(f"{NAMESPACE}/{name}")
    if found is None:
        return False
    status = found.get("status") or {}
    return int(status.get("availableReplicas") or 0) >= int(found["spec"].get("replicas", 1))
