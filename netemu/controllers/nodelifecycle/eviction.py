"""Delete pods that do not tolerate a NoExecute taint of their node, when their time is up.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/tainteviction/taint_eviction.go
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, name, namespace, timestamp, uid
from netemu.controllers.conditions import with_condition
from netemu.controllers.context import BY_NODE, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.nodelifecycle.plan import evict_in, no_execute
from netemu.controllers.podstate import is_finished
from netemu.errors import ApiError


class TaintEviction(Controller):
    """Keys are pods on tainted nodes."""

    name: ClassVar[str] = "taint-eviction"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._default = context.config.timing.pod_toleration
        self._first_seen: dict[str, float] = {}
        """When a pod was first seen to be on a tainted node."""
        self.nodes = self.watch(kinds.NODES, self._node_keys)
        self.pods = self.watch(kinds.PODS, self._pod_keys)

    def _node_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        taints = no_execute(new)
        if new is None or taints == no_execute(old):
            return ()  # also when they go: what was counted down starts anew with the next
        return [key(pod) for pod in self.pods.by_index(BY_NODE, name(new))]

    def _pod_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        if new is None or is_deleting(new):
            if gone := new or old:
                self._first_seen.pop(key(gone), None)
            return ()
        node = self.nodes.get(new["spec"].get("nodeName") or "")
        return (key(new),) if node is not None and no_execute(node) else ()

    async def reconcile(self, key: str) -> float | None:
        pod = self.pods.get(key)
        if pod is None or is_deleting(pod) or is_finished(pod):
            self._first_seen.pop(key, None)
            return None
        now, node = self.clock.now(), self.nodes.get(pod["spec"].get("nodeName") or "")
        since = self._first_seen.setdefault(key, now)
        wait = evict_in(pod, no_execute(node), now, self._default, since)
        if wait is None:
            self._first_seen.pop(key, None)
        if wait is None or wait > 0:
            return wait
        text = f"Marking for deletion Pod {key}"
        self.events.event(pod, kinds.PODS, "Normal", "TaintManagerEviction", text)
        await self._evict(pod)
        return None

    async def _evict(self, pod: Object) -> None:
        conditions = with_condition(
            (pod.get("status") or {}).get("conditions") or (),
            "DisruptionTarget",
            "True",
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            timestamp(self.clock.now()),
        )
        patch = {"metadata": {"uid": uid(pod)}, "status": {"conditions": conditions}}
        try:
            await self.client.patch(
                kinds.PODS, name(pod), namespace(pod), patch, subresource="status"
            )
            await self.client.delete(kinds.PODS, name(pod), namespace(pod), uid=uid(pod))
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise
