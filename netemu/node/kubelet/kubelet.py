"""The kubelet of one node: watches its pods and gives each a worker.

https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence

from netemu.aio import Clock, SystemClock, spawn
from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds import PODS, SERVICES
from netemu.client.eventqueue import EventQueue
from netemu.client.events import EventRecorder
from netemu.client.informer import Informer
from netemu.client.kubelet import ExecSession, LogOptions, Page, PortSession
from netemu.client.protocol import ApiClient
from netemu.config import ClusterConfig, NodeConfig
from netemu.errors import ApiError, NetemuError
from netemu.node.images import ImageTable
from netemu.node.kubelet import podapi
from netemu.node.kubelet.adoption import adopt, remove_files, remove_orphans
from netemu.node.kubelet.context import NodeContext, TokenIssuer
from netemu.node.kubelet.dnsconfig import ResolverFile
from netemu.node.kubelet.nodesockets import NodeSockets
from netemu.node.kubelet.nodestatus import NodeStatus, register_with_patience
from netemu.node.kubelet.pages import Pages
from netemu.node.kubelet.podevents import PodEvents
from netemu.node.kubelet.podusage import PodUsage, Usage
from netemu.node.kubelet.runtime import Runtime
from netemu.node.kubelet.worker import PodWorker
from netemu.node.ledger import Ledger
from netemu.node.machine import Machine
from netemu.node.podnetwork import PodNetwork

log = logging.getLogger(__name__)

_AFTER_DEFECT = 10.0
"""Seconds until a worker that failed in a way that nobody foresaw looks at its pod again."""
_REFRESH = 10.0
"""Seconds between two looks at a pod's volumes: sizes, and the ConfigMaps and Secrets in them

(Kubernetes: 10 s, and about 60).
"""


LIMITS_NOTE = "netemu.dev/enforced-limits"
"""Annotation of a Node: those of pids, memory and cpu that control groups hold here."""
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


def cgroup_name(config: ClusterConfig, node: NodeConfig) -> str:
    """Control groups are the machine's: clusters in PID namespaces of their own may share names."""
    namespace = os.stat("/proc/self/ns/pid").st_ino
    suffix = "" if namespace == _FIRST_PID_NAMESPACE else f"-{namespace:x}"
    return f"netemu-{config.name}-{node.name}{suffix}"


class Kubelet:
    """A component, and the `KubeletApi` of its node. `nameserver`: the node's own resolver."""

    def __init__(
        self,
        client: ApiClient,
        config: ClusterConfig,
        node: NodeConfig,
        machine: Machine,
        *,
        network: PodNetwork,
        ledger: Ledger,
        nameserver: str,
        clock: Clock | None = None,
        tokens: TokenIssuer | None = None,
        images: ImageTable | None = None,
    ) -> None:
        self.name = node.name
        self._client, self._config = client, config
        self._machine, self._network = machine, network
        self._clock = clock or SystemClock()
        self._tokens = tokens
        self._images = images or ImageTable(config)
        self._resolver = ResolverFile((nameserver,) if nameserver else ())
        self._status = NodeStatus(client, config, node, machine.addresses, self._clock)
        self._runtime = Runtime(config.node_dir(node.name), cgroup_name(config, node), ledger)
        self._pods = Informer(client, PODS, fields=f"spec.nodeName={node.name}")
        by_namespace = {"namespace": lambda service: (meta.namespace(service),)}
        self._services = Informer(client, SERVICES, indexers=by_namespace)
        self._workers: dict[str, PodWorker] = {}
        self._context: NodeContext | None = None
        self._usage = PodUsage(self._runtime, self._clock)
        self._reopen = asyncio.Event()
        self.registered = asyncio.Event()
        """Set once the Node object is there."""

    async def run(self) -> None:
        """Until cancelled; pods go on without us."""
        sockets = NodeSockets(self._machine.netns)
        try:
            async with asyncio.TaskGroup() as group:
                spawn(group, self._register(), name="register")
                await self._runtime.open()
                self._context = self._make_context(group, sockets)
                self._start_parts(group, self._context)
                await self._services.wait_synced()
                self._pods.on_change(self._changed)
                spawn(group, self._pods.run(), name=f"{self.name}/pods")
                await self._pods.wait_synced()
                await remove_orphans(self._context, self._workers)
        finally:
            sockets.close()
            await self._runtime.close()

    async def _register(self) -> None:
        await register_with_patience(self._status, self._clock)
        self.registered.set()

    async def _tell_limits(self) -> None:
        """Note on the Node which limits of containers this machine enforces."""
        await self.registered.wait()
        await self._status.annotate(LIMITS_NOTE, " ".join(self._runtime.limits) or "none")

    async def dismantle(self) -> None:
        """End the node's containers and their supervisor for good; `run` has ended or never was."""
        await self._runtime.dismantle()
        await asyncio.to_thread(remove_files, self._config, self.name)

    def _make_context(self, group: asyncio.TaskGroup, sockets: NodeSockets) -> NodeContext:
        recorder = EventRecorder(self._client, "kubelet", self.name, clock=self._clock)
        return NodeContext(
            client=self._client,
            config=self._config,
            node=self.name,
            netns=self._machine.netns,
            addresses=self._machine.addresses,
            network=self._network,
            runtime=self._runtime,
            images=self._images,
            events=PodEvents(EventQueue(recorder, self._clock)),
            sockets=sockets,
            services=self._services,
            clock=self._clock,
            resolver=self._resolver,
            group=group,
            tokens=self._tokens,
        )

    def _start_parts(self, group: asyncio.TaskGroup, context: NodeContext) -> None:
        self._runtime.on_exit = self._exited
        self._runtime.on_lost = self._lost
        self._runtime.on_entered = self._entered
        parts = {
            "services": self._services.run(),
            "runtime": self._runtime.run(),
            "sandboxes": context.sandboxes.run(),
            "removals": context.removals.run(),
            "events": context.events.run(),
            "heartbeat": self._status.run(),
            "limits": self._tell_limits(),
            "network": self._wake_with_network(),
            "refresh": self._refresh_volumes(),
            "reopen": self._reopen_runtime(),
        }
        for name, part in parts.items():
            spawn(group, part, name=f"{self.name}/{name}")

    # Pods come and go

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
            worker = self._workers.get(meta.uid(old))
            if worker is not None:
                worker.forget()
        if new is None:
            return
        worker = self._workers.get(meta.uid(new))
        if worker is not None:
            worker.update(new)
        else:
            self._begin(new)

    def _begin(self, pod: Object) -> None:
        assert self._context is not None
        worker = PodWorker(self._context, pod)
        self._workers[worker.uid] = worker
        adopt(worker)
        self._context.spawn(self._work(worker), f"pod-{meta.key(pod)}")

    async def _work(self, worker: PodWorker) -> None:
        """A worker's life. A defect of ours in one pod must not end the node.

        Nor may it leave a pod that nobody would end any more: the worker begins again.
        """
        while True:
            try:
                await worker.run()
                break
            except Exception:
                log.exception("worker failed", extra={"kv": {"pod": meta.key(worker.pod)}})
            await worker.context.clock.sleep(_AFTER_DEFECT)
            worker.wake()
        self._workers.pop(worker.uid, None)

    def _exited(self, described: Object) -> None:
        worker = self._workers.get(described["pod"])
        if worker is not None:
            worker.exited(described)

    def _entered(self, described: Object) -> None:
        """The first command runs in a stand-in's container: give it what a process would have."""
        worker = self._workers.get(described["pod"])
        if worker is not None and self._context is not None:
            self._context.spawn(self._fill_later(worker), f"fill-{worker.uid}")

    async def _fill_later(self, worker: PodWorker) -> None:
        try:
            await worker.volumes.fill_later(worker)
        except (NetemuError, OSError) as error:
            pairs = {"pod": meta.key(worker.pod), "error": str(error)}
            log.warning("volumes not filled", extra={"kv": pairs})

    # The runtimes and the network

    def _lost(self, kind: str) -> None:
        """A runtime died, and its containers with it: they count as killed."""
        now = self._clock.now()
        for worker in self._workers.values():
            worker.lost(kind, now)
        self._reopen.set()

    async def _reopen_runtime(self) -> None:
        while True:
            await self._reopen.wait()
            self._reopen.clear()
            try:
                await self._runtime.reopen()
            except (NetemuError, OSError) as error:
                log.warning("no supervisor", extra={"kv": {"error": str(error)}})
                await self._clock.sleep(1.0)
                self._reopen.set()
                continue
            for worker in self._workers.values():
                worker.wake()

    async def _wake_with_network(self) -> None:
        """Pods that came before the node's pod network wait for it."""
        await self._network.add([])
        for worker in self._workers.values():
            worker.wake()

    async def _refresh_volumes(self) -> None:
        while True:
            await self._clock.sleep(_REFRESH)
            for worker in list(self._workers.values()):
                if not worker.over:
                    await self._refresh(worker)

    async def _refresh(self, worker: PodWorker) -> None:
        try:
            await worker.volumes.refresh(worker)
            await worker.check_size()
        except (NetemuError, OSError) as error:
            pairs = {"pod": meta.key(worker.pod), "error": str(error)}
            log.debug("volumes not refreshed", extra={"kv": pairs})

    async def usage(self) -> dict[tuple[str, str], Usage]:
        """What the node's pods use, by (namespace, name): see `podusage`."""
        return await self._usage.measure(list(self._workers.values()))

    @property
    def usage_window(self) -> float:
        """Over how many seconds the last usage was measured."""
        return self._usage.window

    # KubeletApi

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        found = self._pods.get(meta.join_key(namespace, pod))
        worker = self._workers.get(meta.uid(found)) if found else None
        if worker is None:
            raise ApiError("NotFound", f'pods "{pod}" not found on node {self.name}')
        return worker

    def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        return podapi.logs(self._worker(namespace, pod), options)

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        stdin: bool = False,
        tty: bool = False,
    ) -> ExecSession:
        worker = self._worker(namespace, pod)
        return await podapi.execute(worker, container, command, stdin=stdin, tty=tty)

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool = False, tty: bool = False
    ) -> ExecSession:
        return await podapi.attach(self._worker(namespace, pod), container)

    async def connect(self, namespace: str, pod: str, port: int) -> PortSession:
        return await podapi.connect(self._worker(namespace, pod), port)

    async def dial(self, address: str, port: int) -> socket.socket:
        return await self._started().sockets.connect(address, port)

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        pages = Pages(self._started(), self._usage, self._workers.values)
        return await pages.page(path, query)

    def _started(self) -> NodeContext:
        if self._context is None:
            raise ApiError("ServiceUnavailable", f'the kubelet of node "{self.name}" is starting')
        return self._context
