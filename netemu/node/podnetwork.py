"""The pods' networks of one node, for coroutines: `sandboxes.py` does the work in helper threads.

What flannel's CNI plugin delegates to the bridge and host-local plugins, done in batches.
https://www.cni.dev/plugins/current/main/bridge/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from netemu.config import ClusterConfig
from netemu.node import sandbox
from netemu.node.ledger import Ledger
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.network_maker import Build
from netemu.node.sandboxes import PodRequest, PodSandbox, Sandboxes
from netemu.node.serial_thread import SerialThread

__all__ = ["PodNetwork", "PodRequest", "PodSandbox"]


class PodNetwork:
    """Pods' networks of `node`, whose namespace is at `node_netns`.

    `configure` says which addresses the node's pods get; `add` waits for that.
    """

    def __init__(
        self,
        config: ClusterConfig,
        node: str,
        node_netns: str,
        *,
        holder: NamespaceHolder,
        ledger: Ledger,
        build: Build = sandbox.build,
    ) -> None:
        """`build`: who makes the networks; a `NetworkMaker`'s builder, or this process."""
        self._sandboxes = Sandboxes(
            config, node, node_netns, holder=holder, ledger=ledger, build=build
        )
        self._thread = SerialThread(f"{node}/pods")
        self._lock = asyncio.Lock()
        self._ready = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether pods can be added now."""
        return self._ready.is_set()

    @property
    def gateways(self) -> tuple[str, ...]:
        """cni0's addresses, one a family."""
        return self._sandboxes.gateways

    def sandboxes(self) -> Mapping[str, PodSandbox]:
        """By the pods' uid."""
        return self._sandboxes.by_uid

    async def configure(self, pod_cidrs: Sequence[str], *, mtu: int = 0) -> None:
        """Make cni0 for the node's pod networks, IPv4 first. Idempotent.

        `mtu` 0: 50 less than the underlay's.
        """
        async with self._lock:
            await self._thread.do(self._sandboxes.configure, pod_cidrs, mtu)
            self._ready.set()

    async def add(self, requests: Sequence[PodRequest]) -> list[PodSandbox]:
        """Networks for pods, in the order asked. A pod that has one already keeps it.

        When some cannot be made, the others are, and the first error is raised: ask again.
        """
        await self._ready.wait()
        async with self._lock:
            have = self._sandboxes.by_uid
            new = {request.uid: request for request in requests if request.uid not in have}
            if new:
                await self._thread.do(self._sandboxes.add, list(new.values()))
            return [have[request.uid] for request in requests]

    async def remove(self, uids: Iterable[str]) -> None:
        """Take networks away; unknown pods are fine. The pods' processes have ended before."""
        gone = list(uids)
        async with self._lock:
            await self._thread.do(self._sandboxes.remove, gone)

    async def adopt(self) -> None:
        """Find what a former daemon made, and clear away what it left half-made."""
        async with self._lock:
            await self._thread.do(self._sandboxes.adopt)
            if self._sandboxes.configured:
                self._ready.set()

    async def check(self) -> None:
        """Replace a holder of the namespaces that was killed, and renew the names.

        The overlay does this at each look at the kernel.
        """
        async with self._lock:
            await self._thread.do(self._sandboxes.renew_names)

    def close(self) -> None:
        """End the work in hand and close sockets; the pods' networks stay."""
        self._thread.close()
        self._sandboxes.close()
