"""Pods that no kubelet will ever stop: their node was deleted, or is out of service.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/podgc/gc_controller.go
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, name, namespace, timestamp, uid
from netemu.controllers.conditions import with_condition
from netemu.controllers.context import BY_NODE, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.nodelifecycle.plan import OUT_OF_SERVICE, ready_status
from netemu.controllers.podstate import is_finished
from netemu.errors import ApiError


def is_out_of_service(node: Object) -> bool:
    taints = (node.get("spec") or {}).get("taints") or ()
    tainted = any(taint["key"] == OUT_OF_SERVICE for taint in taints)
    return tainted and ready_status(node) != "True"


class PodGarbageCollector(Controller):
    """Keys are node names."""

    name: ClassVar[str] = "pod-garbage"
    workers: ClassVar[int] = 2

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._quarantine = context.config.timing.node_monitor_grace
        self._missing_since: dict[str, float] = {}
        self.nodes = self.watch(kinds.NODES, self._node_keys)
        self.pods = self.watch(kinds.PODS, self._pod_keys)

    def _node_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        if new is None:
            return (name(old),) if old is not None else ()
        self._missing_since.pop(name(new), None)
        return (name(new),) if is_out_of_service(new) else ()

    def _pod_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        node = new["spec"].get("nodeName") if new is not None else None
        if not node:
            return ()
        found = self.nodes.get(node)
        return (node,) if found is None or is_out_of_service(found) else ()

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(key)
        pods = self.pods.by_index(BY_NODE, key)
        if node is None and pods:
            now = self.clock.monotonic()
            waited = now - self._missing_since.setdefault(key, now)
            if waited < self._quarantine:
                return self._quarantine - waited
            try:  # the cache may lag: a node that has just come back keeps its pods
                await self.client.get(kinds.NODES, key)
                return None
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
        elif node is None or not is_out_of_service(node):
            self._missing_since.pop(key, None)
            return None
        for pod in pods:
            if node is None or is_deleting(pod):
                await self._remove(pod)
        return None

    async def _remove(self, pod: Object) -> None:
        """Say that it failed, unless it is over, and delete it without asking a kubelet."""
        try:
            if not is_finished(pod):
                patch = {"status": self._failed(pod)}
                await self.client.patch(
                    kinds.PODS, name(pod), namespace(pod), patch, subresource="status"
                )
            await self.client.delete(
                kinds.PODS, name(pod), namespace(pod), uid=uid(pod), grace_period_seconds=0
            )
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    def _failed(self, pod: Object) -> dict[str, Any]:
        conditions = with_condition(
            (pod.get("status") or {}).get("conditions") or (),
            "DisruptionTarget",
            "True",
            "DeletionByPodGC",
            f"PodGC: node no longer exists: {key(pod)}",
            timestamp(self.clock.now()),
        )
        return {"phase": "Failed", "conditions": conditions}
