"""What every pod's worker on a node shares."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netemu.aio import Clock, spawn
from netemu.api.kind import Object
from netemu.client.informer import Informer
from netemu.client.protocol import ApiClient
from netemu.config import ClusterConfig
from netemu.errors import NetemuError
from netemu.node.images import ImageTable
from netemu.node.kubelet.batcher import Batcher
from netemu.node.kubelet.dnsconfig import ResolverFile
from netemu.node.kubelet.hostports import HostPorts
from netemu.node.kubelet.nodesockets import NodeSockets
from netemu.node.kubelet.podevents import PodEvents
from netemu.node.kubelet.runtime import Runtime
from netemu.node.podnetwork import PodNetwork, PodRequest, PodSandbox

log = logging.getLogger(__name__)


async def _guarded(coroutine: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await coroutine
    except Exception:
        log.exception("task failed", extra={"kv": {"task": name}})


TokenIssuer = Callable[[str, str, str, Object, Object], Awaitable[str]]
"""(namespace, service account, audience, the volume's source, pod) → a token."""


def volume_roots(config: ClusterConfig, node: str) -> tuple[Path, Path]:
    """Where the volumes are that go with their pods, by uid: those in memory, those on disk."""
    return config.node_dir(node) / "volumes", config.data_dir / "pods"


@dataclass(slots=True, kw_only=True)
class NodeContext:
    """One node's parts, handed to its workers. `group` owns the tasks that they start."""

    client: ApiClient
    config: ClusterConfig
    node: str
    netns: str
    """Path of the node's own network namespace."""
    addresses: Sequence[str]
    network: PodNetwork
    runtime: Runtime
    images: ImageTable
    events: PodEvents
    sockets: NodeSockets
    services: Informer
    clock: Clock
    resolver: ResolverFile
    """The node's own resolv.conf."""
    group: asyncio.TaskGroup
    tokens: TokenIssuer | None = None
    directory: str = field(init=False)
    """The node's own, for sockets, logs and small volumes."""
    volume_roots: tuple[Path, Path] = field(init=False)
    cluster_dns: tuple[str, ...] = field(init=False)
    host_ports: HostPorts = field(init=False)
    sandboxes: Batcher[PodRequest, PodSandbox] = field(init=False)
    removals: Batcher[str, None] = field(init=False)

    def __post_init__(self) -> None:
        self.directory = str(self.config.node_dir(self.node))
        self.volume_roots = volume_roots(self.config, self.node)
        self.cluster_dns = self.config.pod_nameservers
        self.host_ports = HostPorts(self.netns, self.directory)
        self.sandboxes = Batcher(self._add, limit=64)
        self.removals = Batcher(self._remove, limit=1024)

    async def _add(self, requests: Sequence[PodRequest]) -> Sequence[PodSandbox | Exception]:
        """Networks for those that can have one; the error for each of the others."""
        try:
            return await self.network.add(requests)
        except NetemuError as error:
            made = self.network.sandboxes()
            return [made.get(request.uid) or error for request in requests]

    async def _remove(self, uids: Sequence[str]) -> Sequence[None]:
        await self.network.remove(uids)
        return [None] * len(uids)

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task of one pod. Its failure is a defect of ours, and must not end the node."""
        guarded = _guarded(coroutine, name)
        try:
            task = spawn(self.group, guarded, name=f"{self.node}/{name}")
        except RuntimeError as error:  # the group is ending, and we with it
            guarded.close()
            coroutine.close()
            raise asyncio.CancelledError from error
        task.add_done_callback(lambda _: coroutine.close())  # one cancelled before its first step
        return task

    def services_of(self, namespace: str) -> list[Object]:
        """Services that a pod of `namespace` hears of in its environment."""
        found = self.services.by_index("namespace", namespace)
        kubernetes = self.services.get("default/kubernetes")
        return [*found, kubernetes] if kubernetes and namespace != "default" else found

    def pod_directory(self, namespace: str, name: str, uid: str) -> str:
        """Where a pod's logs are, named as the kubelet names them below /var/log/pods."""
        return f"{self.directory}/pods/{namespace}_{name}_{uid}"
