"""A cluster in memory: the real API server, controllers and scheduler; only the nodes are faked."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from netemu.aio import Clock, FakeClock, spawn
from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, micro_timestamp, name, namespace, timestamp, uid
from netemu.apiserver.local import LocalClient
from netemu.apiserver.server import ApiServer
from netemu.client.eventqueue import EventQueue
from netemu.client.events import EventRecorder
from netemu.client.informers import Informers
from netemu.client.protocol import WatchEvent
from netemu.config.cluster import ClusterConfig
from netemu.controllers.context import ControllerContext
from netemu.controllers.manager import ControllerManager
from netemu.errors import ApiError
from netemu.scheduler.scheduler import Scheduler
from netemu.store.memory import MemoryStore


class FakeKubelets:
    """All nodes' kubelets: bound pods become Ready at once, deleted ones go at once.

    `hold` decides which pods stay Pending; `broken` which run without becoming Ready; `linger`
    which stay although they are being deleted, `outcome` which end at once (Succeeded, Failed).
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._informer = cluster.informers.of(kinds.PODS)
        self._todo: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._addresses = itertools.count(2)
        self.hold: Callable[[Object], bool] = lambda pod: False
        self.broken: Callable[[Object], bool] = lambda pod: False
        self.linger: Callable[[Object], bool] = lambda pod: False
        self.outcome: Callable[[Object], str] = lambda pod: ""
        self.exit_code = 1
        self.silent: set[str] = set()
        self._informer.on_change(self._changed)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and new["spec"].get("nodeName"):
            self._todo[key(new)] = None
            self._wake.set()

    def again(self) -> None:
        """Look at all pods again, after `hold` and the like were changed."""
        for pod in self._informer.objects.values():
            self._changed(None, pod)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            spawn(group, self._beat(), name="heartbeats")
            while True:
                await self._wake.wait()
                self._wake.clear()
                todo, self._todo = self._todo, {}
                await asyncio.gather(*(self._look(where) for where in todo))

    async def _beat(self) -> None:
        """Renew every node's lease each ten seconds, those in `silent` excepted."""
        while True:
            for node in (await self._cluster.client.list(kinds.NODES)).items:
                if name(node) not in self.silent:
                    await self._renew(name(node))
            await self._cluster.clock.sleep(10)

    async def _renew(self, node: str) -> None:
        spec = {"holderIdentity": node, "renewTime": micro_timestamp(self._cluster.clock.now())}
        meta = {"name": node, "namespace": "kube-node-lease"}
        client = self._cluster.client
        try:
            await client.patch(kinds.LEASES, node, "kube-node-lease", {"spec": spec})
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            await client.create(kinds.LEASES, {"metadata": meta, "spec": spec})

    async def _look(self, where: str) -> None:
        pod = self._informer.get(where)
        if pod is None or pod["spec"].get("nodeName", "") in {"", *self.silent}:
            return
        try:
            if is_deleting(pod):
                if not self.linger(pod):
                    await self._cluster.client.delete(
                        kinds.PODS, name(pod), namespace(pod), uid=uid(pod), grace_period_seconds=0
                    )
            elif not self.hold(pod):
                await self._run(pod)
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    async def _run(self, pod: Object) -> None:
        status = pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            return
        if ended := self.outcome(pod):
            await self._cluster.client.update(
                kinds.PODS,
                {**pod, "status": self.ended(pod, ended)},
                subresource="status",
            )
            return
        ready = "False" if self.broken(pod) else "True"
        if status.get("phase") == "Running" and _condition(status, "Ready") == ready:
            return
        number = next(self._addresses)
        address = status.get("podIP") or f"10.244.{number // 254}.{number % 254 + 1}"
        await self._cluster.client.update(
            kinds.PODS,
            {**pod, "status": self.status(pod, "Running", ready, address)},
            subresource="status",
        )

    def ended(self, pod: Object, phase: str) -> Object:
        now = timestamp(self._cluster.clock.now())
        code = 0 if phase == "Succeeded" else self.exit_code
        state = {"terminated": {"exitCode": code, "finishedAt": now}}
        statuses = [
            {"name": container["name"], "state": state, "restartCount": 0, "ready": False}
            for container in pod["spec"]["containers"]
        ]
        return {**self.status(pod, phase, "False"), "containerStatuses": statuses}

    def status(self, pod: Object, phase: str, ready: str, address: str = "") -> Object:
        now = timestamp(self._cluster.clock.now())
        conditions = [
            {"type": type_, "status": value, "lastProbeTime": None, "lastTransitionTime": now}
            for type_, value in (
                ("PodScheduled", "True"),
                ("Initialized", "True"),
                ("ContainersReady", ready),
                ("Ready", ready),
            )
        ]
        found: Object = {"phase": phase, "conditions": conditions, "startTime": now}
        if address:
            found |= {"podIP": address, "podIPs": [{"ip": address}]}
        return found


def _condition(status: Object, type_: str) -> str:
    found = status.get("conditions") or ()
    return next((c["status"] for c in found if c["type"] == type_), "")


class LaggingClient(LocalClient):
    """Watches tell of a change only `lag` turns of the loop after it was made."""

    lag = 0

    async def watch(self, *args: Any, **kwargs: Any) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(*args, **kwargs):
            for _ in range(self.lag):
                await asyncio.sleep(0)
            yield event


class Cluster:
    """What a test drives; see `FakeKubelets` for what the nodes do."""

    def __init__(self, clock: Clock, config: ClusterConfig, lag: int = 0) -> None:
        self.clock, self.config, self.lag = clock, config, lag
        self.server = ApiServer(config, store=MemoryStore(), clock=clock)

    async def open(self) -> None:
        await self.server.open()
        self.server.context.random.seed(1)  # a failure found by hypothesis must come again
        self.client = LaggingClient(self.server.context, self.server.progress)
        self.client.lag = self.lag
        self.informers = Informers(self.client)
        recorder = EventRecorder(self.client, "controller-manager", clock=self.clock)
        self.events = EventQueue(recorder, self.clock)
        context = ControllerContext(
            client=self.client,
            informers=self.informers,
            clock=self.clock,
            events=self.events,
            config=self.config,
        )
        self.context = context
        self.manager = ControllerManager(context, root_ca="PEM")
        self.scheduler = Scheduler(self.client, self.informers, self.clock, self.events)
        self.kubelets = FakeKubelets(self)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            spawn(group, self.informers.run(), name="informers")
            spawn(group, self.events.run(), name="events")
            spawn(group, self.manager.run(), name="controllers")
            spawn(group, self.scheduler.run(), name="scheduler")
            spawn(group, self.kubelets.run(), name="kubelets")

    async def add_node(self, named: str, **status: Any) -> Object:
        allocatable = {"cpu": "32", "memory": "64Gi", "pods": "1023", **status}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": named}}
        made = await self.client.create(kinds.NODES, node)
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": timestamp(self.clock.now()),
            "lastTransitionTime": timestamp(self.clock.now()),
        }
        full = {"capacity": allocatable, "allocatable": allocatable, "conditions": [ready]}
        patch = {"status": full}
        return await self.client.patch(kinds.NODES, name(made), "", patch, subresource="status")

    async def pods(self, **labels: str) -> list[Object]:
        selector = ",".join(f"{k}={v}" for k, v in labels.items())
        return (await self.client.list(kinds.PODS, "default", labels=selector)).items

    async def until(
        self, holds: Callable[[], Awaitable[Any]], *, what: str = "", timeout: float = 60.0
    ) -> Any:
        """The first true result of `holds`, asked after every change in the store."""
        last: Any = None
        try:
            async with asyncio.timeout(timeout):
                while not (last := await holds()):
                    await self.moved()
        except TimeoutError:
            raise AssertionError(f"not within {timeout} s: {what or holds}") from None
        return last

    async def moved(self) -> None:
        """Until the store's revision moves; with a fake clock also time, step by step."""
        before = self.server.cache.revision
        for _ in range(400):
            await asyncio.sleep(0)
            if self.server.cache.revision != before:
                return
        if isinstance(self.clock, FakeClock):
            await self.clock.advance(0.05)
        else:
            await asyncio.sleep(0.001)

    async def settle(self, seconds: float = 0.0) -> None:
        """Until nothing moves any more; `seconds` of the fake clock go by first."""
        if seconds and isinstance(self.clock, FakeClock):
            await self.clock.advance(seconds)
        quiet = 0
        while quiet < 40:
            before = self.server.cache.revision
            if isinstance(self.clock, FakeClock):
                await self.clock.advance(0.05)
            else:
                await asyncio.sleep(0.005)
            still = self.server.cache.revision == before and self.manager.idle
            quiet = quiet + 1 if still else 0


@asynccontextmanager
async def running(
    *,
    nodes: int = 3,
    clock: Clock | None = None,
    config: ClusterConfig | None = None,
    lag: int = 0,
) -> AsyncIterator[Cluster]:
    cluster = Cluster(clock or FakeClock(), config or ClusterConfig(), lag)
    await cluster.open()
    async with asyncio.TaskGroup() as group:
        task = spawn(group, cluster.run(), name="cluster")
        await cluster.informers.wait_synced()
        for index in range(nodes):
            await cluster.add_node(f"node-{index + 1}")
        yield cluster
        task.cancel()


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Three nodes and a fake clock."""
    async with running() as found:
        yield found


@pytest.fixture
def start_cluster() -> Callable[..., Any]:
    """`async with start_cluster(nodes=…, clock=…) as cluster`."""
    return running


class Make:
    """Objects as a user would write them."""

    @staticmethod
    def template(app: str, image: str = "nginx", **spec: Any) -> Object:
        containers = [
            {"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 80}]}
        ]
        return {"metadata": {"labels": {"app": app}}, "spec": {"containers": containers, **spec}}

    @classmethod
    def workload(
        cls, kind: str, named: str, replicas: int, image: str = "nginx", **spec: Any
    ) -> Object:
        return {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": named, "namespace": "default"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": named}},
                "template": cls.template(named, image),
                **spec,
            },
        }

    @classmethod
    def pod(cls, named: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
        pod = cls.template(named, **spec)
        meta = {"name": named, "namespace": "default", "labels": labels or {"app": named}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod["spec"]}

    @staticmethod
    def service(named: str, **spec: Any) -> Object:
        spec = {"selector": {"app": named}, "ports": [{"port": 80}], **spec}
        meta = {"name": named, "namespace": "default"}
        spec = {field: value for field, value in spec.items() if value is not None}
        return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


@pytest.fixture
def make() -> type[Make]:
    return Make


class Driver:
    """A cluster that sync code drives step by step: what a hypothesis state machine needs."""

    def __init__(self, nodes: int = 2, lag: int = 12) -> None:
        self._loop = asyncio.new_event_loop()
        self.do(self._open(nodes, lag))

    async def _open(self, nodes: int, lag: int) -> None:
        self.cluster = Cluster(FakeClock(), ClusterConfig(), lag)
        await self.cluster.open()
        self._task = self._loop.create_task(self.cluster.run())
        await self.cluster.informers.wait_synced()
        for index in range(nodes):
            await self.cluster.add_node(f"node-{index + 1}")

    def do(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)

    def do_to_present(self, coroutine: Any) -> None:
        """Act on an object that was seen a moment ago: the cluster may have removed it since."""
        try:
            self.do(coroutine)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def turns(self, count: int) -> None:
        """Let everybody run for so many turns of the loop: half-done states come to light."""

        async def turn() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.do(turn())

    def settle(self, seconds: float = 0.0) -> None:
        self.do(self.cluster.settle(seconds))

    def close(self) -> None:
        """End everything; an error of the cluster itself comes out here."""
        self._task.cancel()
        try:
            self.do(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self.do(self._loop.shutdown_asyncgens())
            self._loop.close()


@pytest.fixture
def driver() -> type[Driver]:
    return Driver
