"""One node with a kubelet on a real network; pods are bound to it by name, without a scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from emulated import emulated
from netemu.aio import spawn
from netemu.api.kinds import CONFIG_MAPS, EVENTS, PODS, SERVICE_ACCOUNTS
from netemu.client.informer import Informer
from netemu.client.kubelet import LogOptions
from netemu.config import ClusterConfig, NodeConfig, TimingConfig
from netemu.node.kubelet.kubelet import Kubelet

NODE = "node-1"
Object = dict[str, Any]


def config(**more: Any) -> ClusterConfig:
    timing = TimingConfig(crash_loop_base=0.1, crash_loop_max=0.4)
    return ClusterConfig(name="kubelet", nodes=(NodeConfig(name=NODE),), timing=timing, **more)


class Cluster:
    """`network` is there all the time; the kubelet may be stopped and started."""

    def __init__(self, network: Any, group: asyncio.TaskGroup) -> None:
        self.network, self.client = network, network.client
        self._group = group
        self.pods = Informer(self.client, PODS)
        self.kubelet: Kubelet
        self._running: asyncio.Task[None] | None = None

    def start_kubelet(self) -> None:
        self.kubelet = Kubelet(
            self.client,
            self.network.config,
            self.network.config.nodes[0],
            self.network.nodes[NODE],
            network=self.network.networks[NODE],
            ledger=self.network.ledger,
            nameserver="172.30.0.1",
            tokens=self._token,
        )
        self._running = spawn(self._group, self.kubelet.run(), name="kubelet")

    async def publish_root(self) -> None:
        """What two controllers make for every namespace; pods mount it."""
        root = {"name": "kube-root-ca.crt", "namespace": "default"}
        account = {"name": "default", "namespace": "default"}
        await self.client.create(CONFIG_MAPS, {"metadata": root, "data": {"ca.crt": "x"}})
        await self.client.create(SERVICE_ACCOUNTS, {"metadata": account})

    async def _token(self, namespace: str, account: str, *_: Any) -> str:
        return str(self.network.api.token(namespace, account)["status"]["token"])

    async def stop_kubelet(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running])

    async def create(self, name: str, *containers: Object, **spec: Any) -> None:
        full = [{"name": f"c{i}", "image": "busybox", **each} for i, each in enumerate(containers)]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": NODE, "containers": full, **spec},
        }
        await self.client.create(PODS, body)

    async def until(self, name: str, condition: Callable[[Object], Any]) -> Object:
        """Wait until the pod's object is as asked."""
        key = f"default/{name}"
        changed = asyncio.Event()
        self.pods.on_change(lambda old, new: changed.set())
        try:
            async with asyncio.timeout(60):
                while True:
                    pod = self.pods.get(key)
                    if pod is not None and condition(pod):
                        return pod
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(f"{name} stays at {self.pods.get(key)}") from None

    async def ready(self, name: str) -> Object:
        return await self.until(name, is_ready)

    async def delete(self, name: str, **options: Any) -> None:
        """Delete and wait until the object is gone."""
        await self.client.delete(PODS, name, "default", **options)
        gone = asyncio.Event()

        def look(old: Object | None, new: Object | None) -> None:
            if f"default/{name}" not in self.pods.objects:
                gone.set()

        self.pods.on_change(look)
        if f"default/{name}" in self.pods.objects:
            async with asyncio.timeout(60):
                await gone.wait()

    async def run(self, name: str, *argv: str, container: str = "c0") -> tuple[int, str]:
        """Exit code and output of a command in a container."""
        session = await self.kubelet.exec("default", name, container, argv)
        output = b"".join([part.data async for part in session.output()])
        return await session.wait(), output.decode()

    async def logs(self, name: str, **options: Any) -> str:
        found = self.kubelet.logs("default", name, LogOptions(**options))
        return b"".join([chunk async for chunk in found]).decode()

    async def until_logged(self, name: str) -> None:
        """Wait until the pod has said something."""
        async with asyncio.timeout(60):
            while not await self.logs(name):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def config_map(self, name: str, **data: str) -> None:
        metadata = {"name": name, "namespace": "default"}
        await self.client.create(CONFIG_MAPS, {"metadata": metadata, "data": data})

    async def events(self, name: str) -> list[tuple[str, str]]:
        found = (await self.client.list(EVENTS, "default")).items
        mine = [each for each in found if each["involvedObject"]["name"] == name]
        return [(each["reason"], each["message"]) for each in mine]

    async def until_event(self, name: str, reason: str) -> str:
        async with asyncio.timeout(60):
            while True:
                for found, message in await self.events(name):
                    if found == reason:
                        return message
                await asyncio.sleep(0.02)

    @property
    def directory(self) -> Path:
        return Path(self.network.config.node_dir(NODE))


@asynccontextmanager
async def cluster(**more: Any) -> AsyncIterator[Cluster]:
    async with (
        emulated(config(**more), pods={}) as network,
        asyncio.TaskGroup() as group,
    ):
        made = Cluster(network, group)
        made.start_kubelet()
        informer = spawn(group, made.pods.run(), name="pods")
        await made.pods.wait_synced()
        await made.publish_root()
        yield made
        await made.stop_kubelet()
        informer.cancel()


def sh(script: str, **more: Any) -> Object:
    return {"command": ["sh", "-c", script], **more}


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def status_of(pod: Object, container: str = "c0") -> Object:
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for each in (pod.get("status") or {}).get(field) or ():
            if each["name"] == container:
                return each
    return {}


def restarts(pod: Object, container: str = "c0") -> int:
    return status_of(pod, container).get("restartCount", 0)


def waiting(pod: Object, container: str = "c0") -> str:
    return (status_of(pod, container).get("state") or {}).get("waiting", {}).get("reason", "")


def ended(pod: Object, container: str = "c0") -> Object:
    return (status_of(pod, container).get("state") or {}).get("terminated") or {}


async def gone(pid: int) -> None:
    """Wait for the end of a process."""
    async with asyncio.timeout(60):
        while Path(f"/proc/{pid}/stat").exists():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
