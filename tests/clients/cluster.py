"""A cluster for client tests: the real API server, controllers and scheduler.

Containers are host processes, so it needs neither root nor namespaces.
`python cluster.py DIRECTORY` serves until killed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from host_kubelet import HostKubelet
from netemu.aio import SystemClock, spawn
from netemu.api import meta
from netemu.api.kinds import LEASES, NODES, PODS
from netemu.apiserver.server import ApiServer
from netemu.client.informer import Informer
from netemu.client.kubelet import LogOptions
from netemu.cluster.controllers import Controllers
from netemu.config.cluster import ClusterConfig
from netemu.errors import ApiError
from netemu.store.sqlite import SqliteStore

NODE = "node-1"
_NODE_IP, _POD_IP = "192.0.2.2", "192.0.2.3"


class Kubelet(HostKubelet):
    """Runs every pod at once, in name only; its commands run on this machine."""

    attached = ("sh", "-c", "echo attached; cat")

    def __init__(self, server: ApiServer, folder: Path) -> None:
        super().__init__(folder)
        self._client = server.local_client()
        self._pods = Informer(self._client, PODS, fields=f"spec.nodeName={NODE}")
        self._changed: asyncio.Queue[str] = asyncio.Queue()

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        if options.previous:
            raise ApiError("BadRequest", f'previous terminated container in pod "{pod}" not found')
        lines = [
            f"{'2026-01-01T00:00:00Z ' if options.timestamps else ''}line {n}\n" for n in range(5)
        ]
        for line in lines[-options.tail_lines :] if options.tail_lines else lines:
            yield line.encode()
        for number in range(5, 8) if options.follow else ():
            await asyncio.sleep(0.1)
            yield f"line {number}\n".encode()

    async def run(self) -> None:
        now = meta.timestamp(SystemClock().now())
        await self._client.create(NODES, {"metadata": {"name": NODE}, "status": _node_status(now)})
        self._pods.on_change(lambda old, new: self._changed.put_nowait(meta.key(new or old)))
        async with asyncio.TaskGroup() as group:
            spawn(group, self._pods.run(), name="pods")
            spawn(group, self._beat(), name="heartbeat")
            while key := await self._changed.get():
                pod = self._pods.get(key)
                if pod is not None:
                    try:
                        await self._sync(pod)
                    except ApiError as error:
                        if error.reason not in ("NotFound", "Conflict"):
                            raise

    async def _beat(self) -> None:
        """Renew the node's Lease, as kubelets do."""
        spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40}
        lease = {"metadata": {"name": NODE, "namespace": "kube-node-lease"}, "spec": spec}
        await self._client.create(LEASES, lease)
        while True:
            renewed = {"spec": {"renewTime": meta.micro_timestamp(SystemClock().now())}}
            await self._client.patch(LEASES, NODE, "kube-node-lease", renewed)
            await asyncio.sleep(5)

    async def _sync(self, pod) -> None:
        name, namespace = meta.name(pod), meta.namespace(pod)
        if meta.is_deleting(pod):
            await self._client.delete(
                PODS, name, namespace, uid=meta.uid(pod), grace_period_seconds=0
            )
        elif (pod.get("status") or {}).get("phase") == "Pending":
            status = _pod_status(pod, meta.timestamp(SystemClock().now()))
            await self._client.update(PODS, {**pod, "status": status}, subresource="status")


def _node_status(now: str):
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    return {
        "capacity": {"pods": "1000", "cpu": "8", "memory": "16Gi"},
        "allocatable": {"pods": "1000", "cpu": "8", "memory": "16Gi"},
        "addresses": [{"type": "InternalIP", "address": _NODE_IP}],
        "conditions": [ready | {"lastTransitionTime": now, "lastHeartbeatTime": now}],
    }


def _pod_status(pod, now: str):
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    once = pod["spec"].get("restartPolicy") == "Never"
    running = {"running": {"startedAt": now}}
    ended = {
        "terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    }
    containers = [
        {
            "name": container["name"],
            "image": container.get("image", ""),
            "imageID": "",
            "containerID": "host://1",
            "ready": not once,
            "started": not once,
            "restartCount": 0,
            "state": ended if once else running,
        }
        for container in pod["spec"]["containers"]
    ]
    return {
        **(pod.get("status") or {}),
        "phase": "Succeeded" if once else "Running",
        "conditions": conditions,
        "containerStatuses": containers,
        "startTime": now,
        "podIP": _POD_IP,
        "podIPs": [{"ip": _POD_IP}],
        "hostIP": _NODE_IP,
    }


async def main(folder: Path) -> None:
    config = ClusterConfig()
    server = ApiServer(
        config,
        store=SqliteStore(folder / "store.db"),
        socket=folder / "api.sock",
        pki=folder / "pki",
        kubelets=lambda node: kubelet,
    )
    await server.open()
    kubelet = Kubelet(server, folder)
    root_ca = server.pki.ca_pem.decode()
    controllers = Controllers(server.local_client(), config, SystemClock(), root_ca=root_ca)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        spawn(group, server.run(ready=ready), name="server")
        await ready.wait()
        spawn(group, kubelet.run(), name="kubelet")
        spawn(group, controllers.run(), name="controllers")
        await server.set_endpoint("192.0.2.1", server.port)
        (folder / "kubeconfig").write_text(server.admin_kubeconfig())
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
