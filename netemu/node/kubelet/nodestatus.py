"""The node tells the cluster that it is there: its Node object, its conditions, its Lease.

https://kubernetes.io/docs/concepts/architecture/nodes/
https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/589-efficient-node-heartbeats
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Sequence

from netemu import __version__
from netemu.aio import Clock
from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds import LEASES, NODES
from netemu.client.protocol import STRATEGIC_MERGE_PATCH, ApiClient
from netemu.config import ClusterConfig, NodeConfig
from netemu.errors import ApiError

log = logging.getLogger(__name__)

KUBELET_VERSION = "v1.35.0"
LEASE_NAMESPACE = "kube-node-lease"
_STATUS_PERIOD = 300.0
_CPUS, _MEMORY = "64", "256Gi"
"""What a node claims to have. Requests reserve nothing real here: a laptop runs big manifests."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def compile_node(
    config: ClusterConfig, node: NodeConfig, addresses: Sequence[str], now: float
) -> Object:
    """The Node object that the kubelet registers. Labels of the cluster file come last."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        **node.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": {},
        "status": compile_node_status(config, node.name, addresses, now),
    }


def compile_node_status(
    config: ClusterConfig, name: str, addresses: Sequence[str], now: float
) -> Object:
    amounts = {
        "cpu": _CPUS,
        "memory": _MEMORY,
        "ephemeral-storage": "256Gi",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(config.pods_per_node),
    }
    return {
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in addresses),
            {"type": "Hostname", "address": name},
        ],
        "conditions": compile_conditions(now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": node_info(),
    }


def compile_conditions(now: float) -> list[Object]:
    stamp = meta.timestamp(now)
    rows = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "sufficient PID available"),
    )
    made = [(kind, status, reason, f"kubelet has {what}") for kind, status, reason, what in rows]
    made.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": stamp,
            "lastTransitionTime": stamp,
        }
        for kind, status, reason, message in made
    ]


def node_info() -> Object:
    machine = _read("/etc/machine-id")
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": f"netemu://{__version__}",
        "kernelVersion": os.uname().release,
        "kubeProxyVersion": KUBELET_VERSION,
        "kubeletVersion": KUBELET_VERSION,
        "machineID": machine,
        "operatingSystem": "linux",
        "osImage": _os_name(),
        "systemUUID": machine,
    }


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


class NodeStatus:
    """Registers the node, keeps its Lease, and its status fresh."""

    def __init__(
        self,
        client: ApiClient,
        config: ClusterConfig,
        node: NodeConfig,
        addresses: Sequence[str],
        clock: Clock,
    ) -> None:
        self._client, self._config, self._node = client, config, node
        self._addresses, self._clock = addresses, clock
        self._lease: Object | None = None
        self._owners: list[Object] = []
        """The Node: its Lease goes with it."""

    async def register(self) -> None:
        """Create the Node, or bring one that is there up to date."""
        wanted = compile_node(self._config, self._node, self._addresses, self._clock.now())
        try:
            made = await self._client.create(NODES, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            body = {"metadata": {"labels": wanted["metadata"]["labels"]}}
            made = await self._client.patch(NODES, self._node.name, "", body)
        if not _is_ready(made):
            await self._patch_status(wanted["status"])
        owner = {"apiVersion": "v1", "kind": "Node", "name": meta.name(made)}
        self._owners, self._lease = [{**owner, "uid": meta.uid(made)}], None
        await self._renew()

    async def run(self) -> None:
        """Renew the Lease four times in its duration, the status every five minutes."""
        period = self._config.timing.node_lease_duration / 4
        since = self._clock.monotonic()
        while True:
            await self._clock.sleep(period)
            try:
                await self._renew()
                if self._clock.monotonic() - since >= _STATUS_PERIOD or await self._was_lost():
                    since = self._clock.monotonic()
                    now = self._clock.now()
                    await self._patch_status(
                        compile_node_status(self._config, self._node.name, self._addresses, now)
                    )
            except (ApiError, OSError, EOFError) as error:
                pairs = {"node": self._node.name, "error": str(error)}
                log.warning("heartbeat failed", extra={"kv": pairs})

    async def annotate(self, name: str, value: str) -> None:
        """Put a note on the Node."""
        patch = {"metadata": {"annotations": {name: value}}}
        try:
            await self._client.patch(NODES, self._node.name, "", patch)
        except (ApiError, OSError, EOFError) as error:
            log.warning("node not annotated", extra={"kv": {"error": str(error)}})

    async def _was_lost(self) -> bool:
        """Whether the cluster took us for dead; a deleted Node is registered again."""
        try:
            return not _is_ready(await self._client.get(NODES, self._node.name))
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            await self.register()
            return False

    async def _patch_status(self, status: Object) -> None:
        await self._client.patch(
            NODES,
            self._node.name,
            "",
            {"status": status},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )

    async def _renew(self) -> None:
        name = self._node.name
        renewed = meta.micro_timestamp(self._clock.now())
        if self._lease is None:
            self._lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": name,
                    "namespace": LEASE_NAMESPACE,
                    "ownerReferences": self._owners,
                },
                "spec": {
                    "holderIdentity": name,
                    "leaseDurationSeconds": int(self._config.timing.node_lease_duration),
                    "renewTime": renewed,
                },
            }
            try:
                await self._client.create(LEASES, self._lease)
                return
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    self._lease = None
                    raise
        spec = {"renewTime": renewed, "holderIdentity": name}
        patch = {"metadata": {"ownerReferences": self._owners}, "spec": spec}
        try:
            await self._client.patch(LEASES, name, LEASE_NAMESPACE, patch)
        except ApiError as error:
            if error.reason == "NotFound":
                self._lease = None  # somebody deleted it: make it again next time
            raise


async def register_with_patience(status: NodeStatus, clock: Clock) -> None:
    """Register, however long the API needs to come up."""
    delay = 0.02
    while True:
        try:
            await status.register()
            return
        except (ApiError, OSError, EOFError) as error:
            log.debug("cannot register yet", extra={"kv": {"error": str(error)}})
            await clock.sleep(delay)
            delay = min(1.0, delay * 2)


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
