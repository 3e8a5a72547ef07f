"""Notice when a node falls silent, and keep conditions and taints in line.

A node lives while its Lease is renewed (or its status says something new); what counts is when this
process saw that happen, so that clocks need not agree.
https://kubernetes.io/docs/reference/node/node-status/#heartbeats
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, name, namespace, timestamp
from netemu.controllers.batch import apply_side_by_side
from netemu.controllers.context import BY_NODE, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.nodelifecycle.plan import (
    desired_taints,
    not_ready_patch,
    ready_status,
    silent_conditions,
)
from netemu.controllers.podstate import condition, is_finished
from netemu.errors import ApiError

LEASES = "kube-node-lease"
_STATUS_SETTLES = 0.001


class NodeMonitor(Controller):
    name: ClassVar[str] = "node-lifecycle"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._grace = context.config.timing.node_monitor_grace
        self._heard: dict[str, tuple[object, float]] = {}
        self._was_ready: dict[str, str] = {}
        self.nodes = self.watch(kinds.NODES, self._node_keys)
        self.leases = self.watch(kinds.LEASES, self._lease_keys)
        self.pods = self.watch(kinds.PODS)

    def _node_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        if new is None:
            if old is not None:
                self._heard.pop(name(old), None)
                self._was_ready.pop(name(old), None)
            return ()
        return (key(new),)

    def _lease_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """A renewal is noted at once; only a node that was given up needs a look for it."""
        if new is None or namespace(new) != LEASES:
            return ()
        self._hear(name(new))
        node = self.nodes.get(name(new))
        return (name(new),) if node is None or ready_status(node) == "Unknown" else ()

    def _hear(self, node: str) -> float:
        """When the node was last heard of, on our own clock."""
        lease, obj = self.leases.get(f"{LEASES}/{node}"), self.nodes.get(node)
        ready = condition(obj, "Ready") if obj is not None else None
        beat = (
            (lease["spec"].get("renewTime") if lease else None),
            ready.get("lastHeartbeatTime") if ready and ready["status"] != "Unknown" else None,
        )
        known = self._heard.get(node)
        if known is None or known[0] != beat:
            known = self._heard[node] = (beat, self.clock.monotonic())
        return known[1]

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(key)
        if node is None or is_deleting(node):
            return None
        silent = self.clock.monotonic() - self._hear(key)
        stamp = timestamp(self.clock.now())
        if silent >= self._grace and ready_status(node) != "Unknown":
            text = f"Node {key} status is now: NodeNotReady"
            self.events.event(node, kinds.NODES, "Normal", "NodeNotReady", text)
            node = await self._tell_silence(node, stamp)
        await self._taint(node, stamp)
        await self._mark_pods(node, stamp)
        # Silence makes no event: look again when it would have lasted too long.
        return max(self._grace - silent, _STATUS_SETTLES) if silent < self._grace else None

    async def _tell_silence(self, node: Object, stamp: str) -> Object:
        patch = {"status": {"conditions": silent_conditions(node, stamp)}}
        written = await self.client.patch(kinds.NODES, name(node), "", patch, subresource="status")
        return self.writes.note(name(node), self.nodes, written)

    async def _taint(self, node: Object, stamp: str) -> None:
        wanted = desired_taints(node, stamp)
        if wanted == list((node.get("spec") or {}).get("taints") or ()):
            return
        # The version guards the list: a user may be tainting the node at this moment.
        version = node["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": wanted or None}}
        written = await self.client.patch(kinds.NODES, name(node), "", patch)
        self.writes.note(name(node), self.nodes, written)

    async def _mark_pods(self, node: Object, stamp: str) -> None:
        """Pods of a node that has stopped being Ready are not Ready either."""
        status = ready_status(node)
        before = self._was_ready.get(name(node))
        self._was_ready[name(node)] = status
        if status in ("True", "") or status == before:
            return

        async def mark(pod: Object) -> None:
            patch = not_ready_patch(pod, stamp)
            if patch is not None and not is_finished(pod):
                await self.client.patch(
                    kinds.PODS, name(pod), namespace(pod), patch, subresource="status"
                )

        errors = await apply_side_by_side(self.pods.by_index(BY_NODE, name(node)), mark)
        for error in errors:
            if error.reason != "NotFound":
                self._was_ready.pop(name(node), None)
                raise ApiError(error.reason, error.message)
