"""flanneld of one node: Nodes in; flannel.1, neighbours, FDB, routes and masquerading out.

Everything planned is compared with what the kernel has: at each change of a Node, and every few
seconds, so what someone deletes by hand comes back. The node's own lease is published as
annotations on its Node, as flannel's kube backend does.
https://github.com/flannel-io/flannel/blob/master/Documentation/kubernetes.md
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netemu.aio import Clock, Debouncer, SystemClock, spawn
from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.kinds.node import NODES
from netemu.client.informer import Informer
from netemu.client.protocol import STRATEGIC_MERGE_PATCH, ApiClient
from netemu.config import ClusterConfig
from netemu.errors import NetemuError
from netemu.netstate.network import Changes, Network
from netemu.node import netns
from netemu.node.hardware import random_like_mac
from netemu.node.netlink import NetlinkSocket
from netemu.node.network_apply import apply_network
from netemu.node.podnetwork import PodNetwork
from netemu.node.serial_thread import SerialThread
from netemu.overlay import lease, masquerade, plan, subnet_env
from netemu.overlay.lease import Family, Lease, family_of
from netemu.overlay.settings import OverlaySettings

log = logging.getLogger(__name__)

RESYNC = 5.0
"""Seconds between two looks at the kernel (flanneld's --iptables-resync)."""
RETRY = 0.5
PAUSE_PER_NODE = 0.004
"""Seconds between syncs: when N nodes start, each of N overlays hears of N leases, one by one."""
_IPTABLES: dict[Family, str] = {4: "iptables", 6: "ip6tables"}


def settings_of(config: ClusterConfig) -> OverlaySettings:
    return OverlaySettings(
        networks=config.pod_subnets,
        backend=config.overlay_backend,
        vni=config.vni,
        port=config.vxlan_port,
        mtu=config.mtu,
        direct_routing=config.direct_routing,
    )


class NodeOverlay:
    """The overlay of `node`, whose namespace is at `node_netns`, with these underlay addresses."""

    def __init__(
        self,
        client: ApiClient,
        config: ClusterConfig,
        node: str,
        node_netns: str,
        addresses: Sequence[str],
        *,
        pod_network: PodNetwork,
        nodes: Informer | None = None,
        clock: Clock | None = None,
        resync: float = RESYNC,
    ) -> None:
        self._client, self._config, self._node = client, config, node
        self._netns, self._addresses = node_netns, tuple(addresses)
        self._pod_network = pod_network
        self._clock = clock or SystemClock()
        self._resync_period = resync
        self._own_informer = nodes is None
        self._nodes = nodes or Informer(client, NODES)
        self._settings = settings_of(config)
        self._netlink: NetlinkSocket | None = None
        self._reported = -1
        self._dirty = self._look_closely = True
        self._thread = SerialThread(f"{node}/overlay")
        self._syncs = Debouncer(self._sync_or_retry, clock=self._clock)
        self._pause = PAUSE_PER_NODE * len(config.nodes)
        self._not_before = 0.0
        self._macs: dict[Family, str] = {
            4: random_like_mac("vtep", config.name, node),
            6: random_like_mac("vtep6", config.name, node),
        }
        self._nodes.on_change(self._changed)
        self._nodes.on_progress(lambda _: self._syncs.request())

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                if self._own_informer:
                    spawn(group, self._nodes.run(), name=f"{self._node}/overlay/nodes")
                await self._nodes.wait_synced()
                self._syncs.request()
                spawn(group, self._resync(), name=f"{self._node}/overlay/resync")
                await self._syncs.run()
        finally:
            self._thread.close()
            if self._netlink is not None:
                self._netlink.close()
                self._netlink = None

    def _changed(self, old: Object | None, new: Object | None) -> None:
        """Only what the overlay reads of a Node matters: heartbeats come all the time."""
        if _relevant(old) != _relevant(new):
            self._dirty = True
            self._look_closely |= meta.name(new or old or {}) == self._node

    async def _resync(self) -> None:
        while True:
            await self._clock.sleep(self._resync_period)
            self._dirty = self._look_closely = True
            self._syncs.request()

    async def _sync_or_retry(self) -> None:
        if self._dirty:
            await self._clock.sleep(self._not_before - self._clock.monotonic())
        revision = self._nodes.revision
        try:
            if self._dirty:
                self._dirty = False
                await self._sync()
                self._not_before = self._clock.monotonic() + self._pause
            if revision > self._reported:
                self._reported = revision
                await self._client.report_progress(f"{self._node}/overlay", revision)
        except* (NetemuError, OSError) as errors:
            self._dirty = self._look_closely = True
            log.warning(
                "overlay sync failed", extra={"kv": {"node": self._node, "error": _first(errors)}}
            )
            await self._clock.sleep(RETRY)
            self._syncs.request()

    async def _sync(self) -> None:
        own = self._nodes.get(self._node)
        if own is None:
            return
        leases = plan.own_leases(own, self._addresses, self._settings, self._macs)
        if not leases:
            return
        await self._publish(own, leases)
        planned = plan.plan_node(leases, self._nodes.objects.values(), self._settings)
        changes = await self._thread.do(self._apply, planned.network)
        if self._look_closely:
            self._look_closely = False
            async with asyncio.TaskGroup() as group:
                spawn(group, self._offer(leases), name=f"{self._node}/overlay/offer")
                for each in leases:
                    spawn(group, self._sync_rules(each), name=f"{self._node}/overlay/rules")
        await self._say_up(own)
        if changes:
            kv = {"node": self._node, "added": len(changes.add), "removed": len(changes.remove)}
            log.info("overlay changed", extra={"kv": kv})

    def _apply(self, network: Network) -> Changes:
        if self._netlink is None:
            self._netlink = netns.netlink_in(self._netns)
        tunnels = [self._settings.vxlan_name(4), self._settings.vxlan_name(6)]
        return apply_network(self._netlink, network, tunnels, self._settings.networks)

    async def _sync_rules(self, own: Lease) -> None:
        program = _IPTABLES[own.family]
        env = {"XTABLES_LOCKFILE": str(self._config.node_dir(self._node) / "xtables.lock")}
        wanted = masquerade.compile_rules(self._settings.network(own.family), own.subnet)
        saved = await netns.run(self._netns, [f"{program}-save"], env=env)
        repair = masquerade.diff(wanted, saved.decode())
        if repair:
            restore = [f"{program}-restore", "--noflush", "-w", "5"]
            await netns.run(self._netns, restore, stdin=repair.encode(), env=env)

    async def _offer(self, leases: Sequence[Lease]) -> None:
        """cni0, then subnet.env: who finds the file finds everything in place."""
        subnets = [own.subnet for own in leases]
        await self._pod_network.configure(subnets, mtu=self._settings.pod_mtu)
        await self._pod_network.check()
        path = self._config.node_dir(self._node) / "flannel" / "subnet.env"
        _write(path, subnet_env.render(self._settings, subnets))

    async def _publish(self, own: Object, leases: Sequence[Lease]) -> None:
        """Before the kernel is touched: then others plan once for all, not once for each of us."""
        wanted = lease.annotations_of(leases)
        if not wanted.items() <= meta.annotations(own).items():
            body = {"metadata": {"annotations": wanted}}
            await self._client.patch(NODES, self._node, "", body)

    async def _say_up(self, own: Object) -> None:
        if not _is_up(own):
            now = meta.timestamp(self._clock.now())
            condition = {
                "type": "NetworkUnavailable",
                "status": "False",
                "reason": "FlannelIsUp",
                "message": "Flannel is running on this node",
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }
            await self._client.patch(
                NODES,
                self._node,
                "",
                {"status": {"conditions": [condition]}},
                content_type=STRATEGIC_MERGE_PATCH,
                subresource="status",
            )


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _relevant(node: Object | None) -> Any:
    if node is None:
        return None
    leases = [lease.from_object(node, family_of(cidr)) for cidr in lease.pod_cidrs(node)]
    return lease.pod_cidrs(node), leases


def _is_up(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(
        condition.get("type") == "NetworkUnavailable" and condition.get("status") == "False"
        for condition in conditions
    )


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(path)
