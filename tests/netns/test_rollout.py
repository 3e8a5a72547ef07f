"""A Deployment's update under a steady load of fetches, the whole cluster within this process.

What cluster/test_rollouts.py shows with the command line, without the start of a process for each
command: where processes are slow, as in the virtual machine that has IPVS, that is what counts.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from netemu.aio import spawn
from netemu.api.kinds import DEPLOYMENTS, PODS, SERVICES
from netemu.client.informer import Informer
from netemu.cluster import control_plane
from netemu.cluster.control_plane import ControlPlane
from netemu.cluster.report import Report
from netemu.config import ClusterConfig, NodeConfig
from netemu.config.cluster import ProxyConfig
from netemu.node import cleanup
from netemu.node.ledger import Ledger
from netemu.node.network_maker import NetworkMaker
from netemu.node.processes import Process

PATIENCE = 300.0
REPLICAS = 3
TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {
        "terminationGracePeriodSeconds": 30,
        "containers": [
            {
                "name": "c",
                "image": "nginx:1",
                "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1},
                "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
            }
        ],
    },
}
WEB = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": REPLICAS,
        "selector": {"matchLabels": {"app": "web"}},
        "template": TEMPLATE,
    },
}
SERVICE = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}
ASKER = {
    "metadata": {"name": "asker", "namespace": "default"},
    "spec": {
        "nodeName": "node-1",
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "infinity"]}],
    },
}
FETCH = """
count=0
while [ ! -e /tmp/stop ]; do
  wget -q -T 60 -O /dev/null http://ADDRESS || { echo failed after $count; exit 1; }
  count=$((count + 1))
done
echo fetched $count
"""


class Started(Report):
    """Instead of a pipe to whoever waits for the start."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.event = asyncio.Event()

    def ready(self, **details: Any) -> None:
        self.event.set()


class Cluster:
    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.client = plane, plane._client
        self.web = Informer(self.client, DEPLOYMENTS, fields="metadata.name=web")
        self.pods = Informer(self.client, PODS, namespace="default")

    async def until(self, holds: Callable[[], Any]) -> Any:
        """The first true result, asked for after each change."""
        changed = asyncio.Event()
        for informer in (self.web, self.pods):
            informer.on_change(lambda old, new: changed.set())
        while not (found := holds()):
            changed.clear()
            await changed.wait()
        return found

    def rolled_out(self) -> bool:
        """All pods are of the newest version, and those of the old one have ended."""
        web = self.web.get("default/web")
        if web is None:
            return False
        status = {"observedGeneration": 0, **(web.get("status") or {})}
        counts = [status.get(f"{kind}Replicas", 0) for kind in ("updated", "ready", "available")]
        seen = status["observedGeneration"] == web["metadata"]["generation"]
        alone = len(self.pods.objects) == REPLICAS + ("default/asker" in self.pods.objects)
        return seen and alone and counts == [REPLICAS] * 3

    def images(self) -> set[str]:
        """Of the pods that are ready."""
        return {
            pod["spec"]["containers"][0]["image"]
            for pod in self.pods.objects.values()
            if pod["metadata"]["name"] != "asker" and _is_ready(pod)
        }

    async def update(self, image: str, **more: Any) -> None:
        container = {"name": "c", "image": image, **more}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        kind = "application/strategic-merge-patch+json"
        patched = await self.client.patch(DEPLOYMENTS, "web", "default", patch, content_type=kind)
        generation = patched["metadata"]["generation"]
        # Until it is seen here, the old version looks rolled out.
        await self.until(
            lambda: self.web.objects["default/web"]["metadata"]["generation"] >= generation
        )

    @asynccontextmanager
    async def fetching(self, address: str) -> AsyncIterator[None]:
        """One fetch after the other, none of which may fail."""
        kubelet = self.plane._nodes.agents["node-1"].kubelet
        script = FETCH.replace("ADDRESS", address)
        loop = await kubelet.exec("default", "asker", "c", ["sh", "-c", script])
        yield
        await kubelet.exec("default", "asker", "c", ["touch", "/tmp/stop"])
        said = b"".join([part.data async for part in loop.output()]).decode()
        assert await loop.wait() == 0, said
        assert int(said.split()[-1]) > 5


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def no_maker() -> NetworkMaker:
    """One that has ended: it can only be forked before there are threads."""
    connection = socket.socket(socket.AF_UNIX)
    connection.close()
    return NetworkMaker(connection, Process.of(os.getpid()))


@asynccontextmanager
async def cluster(mode: str) -> AsyncIterator[Cluster]:
    config = ClusterConfig(
        name="rollout",
        nodes=(NodeConfig(name="node-1"), NodeConfig(name="node-2")),
        proxy=ProxyConfig(mode=mode),
        dns_replicas=0,
    )
    config.run_dir.mkdir(parents=True)
    Ledger(config.run_dir).record("dir", path=str(config.data_dir))
    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            started = Started()
            made = Cluster(ControlPlane(config, started, no_maker()))
            tasks = [spawn(group, made.plane.run(), name="cluster")]
            await started.event.wait()
            for informer in (made.web, made.pods):
                tasks.append(spawn(group, informer.run(), name="watch"))
            yield made
            for task in tasks:
                task.cancel()
    finally:
        report = await asyncio.to_thread(cleanup.clean, config.run_dir)
    assert report.left == []


@pytest.mark.parametrize(
    "mode", ["nftables", pytest.param("ipvs", marks=pytest.mark.needs("ipvs", "ipset", "dummy"))]
)
async def test_no_fetch_fails_while_versions_change(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good version replaces all pods; a bad one stops beside them and is taken back."""
    monkeypatch.setattr(control_plane, "START_LIMIT", PATIENCE)
    async with cluster(mode) as made:
        for kind, body in ((DEPLOYMENTS, WEB), (SERVICES, SERVICE), (PODS, ASKER)):
            created = await made.client.create(kind, body)
            address = created["spec"].get("clusterIP") or ""
        await made.until(made.rolled_out)
        service = await made.client.get(SERVICES, "web", "default")
        await made.until(lambda: _is_ready(made.pods.get("default/asker") or {}))
        await made.client.barrier()
        address = service["spec"]["clusterIP"]
        async with made.fetching(address):
            await made.update("nginx:2")
            await made.until(made.rolled_out)
            assert made.images() == {"nginx:2"}
            bad = {"httpGet": None, "exec": {"command": ["false"]}}
            await made.update("nginx:bad", readinessProbe=bad)
            await made.until(lambda: _tried(made))
            assert made.images() == {"nginx:2"}
            await made.update("nginx:2", readinessProbe={"exec": None, **_PROBE})
            await made.until(made.rolled_out)
            assert made.images() == {"nginx:2"}


_PROBE = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}


def _tried(made: Cluster) -> bool:
    """The bad version runs, and is not ready."""
    return any(
        pod["spec"]["containers"][0]["image"] == "nginx:bad"
        and (pod.get("status") or {}).get("phase") == "Running"
        for pod in made.pods.objects.values()
    )
