"""The acting part: a pod on each node, also on those that join later.

https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, labels, name
from netemu.controllers import podstate
from netemu.controllers.claim import Claimer, owner_keys
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.daemonset.placement import desired_daemon, node_of
from netemu.controllers.daemonset.plan import (
    Plan,
    by_node,
    desired_status,
    plan_nodes,
    plan_update,
)
from netemu.controllers.history import DATA_HASH, REVISION_HASH
from netemu.controllers.historywrite import HistoryControl
from netemu.controllers.podcontrol import PodControl
from netemu.controllers.selecting import matcher, selects
from netemu.controllers.statuswrite import apply_status

_FIRST_BACKOFF, _LAST_BACKOFF = 1.0, 900.0
"""Between deletions of a pod that failed on the same node, as upstream."""


class DaemonSetController(Controller):
    name: ClassVar[str] = "daemonset"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.owners = self.watch(kinds.DAEMON_SETS, _own_keys)
        self.pods = self.watch(kinds.PODS, owner_keys(kinds.DAEMON_SETS, self.owners, selects))
        self.nodes = self.watch(kinds.NODES, self._node_keys)
        self.history = HistoryControl(
            client=self.client,
            writes=self.writes,
            owner_kind=kinds.DAEMON_SETS,
            revisions=self.watch(kinds.CONTROLLER_REVISIONS),
        )
        self.control = PodControl(
            client=self.client,
            events=self.events,
            writes=self.writes,
            pods=self.pods,
            owner_kind=kinds.DAEMON_SETS,
        )
        self.claimer = Claimer(
            client=self.client,
            writes=self.writes,
            owner_kind=kinds.DAEMON_SETS,
            child_kind=kinds.PODS,
            children=self.pods,
        )
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}

    def _node_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """All sets, when a node comes, goes, or takes other pods than before."""
        if old is not None and new is not None and _facts(old) == _facts(new):
            return ()
        return list(self.owners.objects)

    def pause(self, key: str) -> float:
        size = len(self.nodes.objects)
        return min(size / 10_000, 0.05) if size > 50 else 0.0

    async def reconcile(self, key: str) -> float | None:
        owner = self.owners.get(key)
        if owner is None:
            self._failures = {k: v for k, v in self._failures.items() if k[0] != key}
            return None
        pods = await self.claimer.claim(owner, matcher(owner))
        revisions = await self.history.list(owner)
        collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
        placed, nodes, now = by_node(pods), list(self.nodes.objects.values()), self.clock.now()
        again: float | None = None
        if is_deleting(owner):
            hashed = labels(revisions[-1])[DATA_HASH] if revisions else ""
        else:
            update, collisions = await self.history.update_revision(owner, revisions, collisions)
            hashed = labels(update)[DATA_HASH]
            plan = plan_nodes(owner, nodes, placed, hashed)
            if not plan.create and not plan.delete:
                plan = plan_update(owner, nodes, placed, hashed, now)
            again = await self._apply(owner, plan, hashed)
            live = {f"{name(owner)}-{labels(pod).get(REVISION_HASH, '')}" for pod in pods}
            await self.history.truncate(owner, revisions, {name(update), *live})
        status = desired_status(owner, nodes, placed, hashed, now)
        if collisions:
            status["collisionCount"] = collisions
        written = await apply_status(self.client, kinds.DAEMON_SETS, owner, status)
        if written is not None:
            self.writes.note(key, self.owners, written)
        return _sooner(again, self._next_available(owner, pods, now))

    async def _apply(self, owner: Object, plan: Plan, hashed: str) -> float | None:
        """Seconds until a failed pod may be replaced, when one has to wait for it."""
        again: float | None = None
        leaving = []
        for pod in plan.delete:
            wait = self._backoff(key(owner), pod) if pod in plan.failed else 0.0
            if wait > 0:
                again = _sooner(again, wait)
                continue
            if pod in plan.failed:
                what = f"failed daemon pod {key(pod)} on node {node_of(pod)}"
                text = f"Found {what}, will try to kill it"
                self.events.event(owner, kinds.DAEMON_SETS, "Warning", "FailedDaemonPod", text)
            leaving.append(pod)
        errors = await self.control.delete(owner, leaving)
        pods = [desired_daemon(owner, node, hashed) for node in plan.create]
        errors += await self.control.create(owner, pods)
        if errors:
            raise errors[0]
        return again

    def _backoff(self, owner: str, pod: Object) -> float:
        """Seconds that the failed pod of this node still has to wait; 0 counts a new failure."""
        slot, now = (owner, node_of(pod)), self.clock.monotonic()
        failures, until = self._failures.get(slot, (0, 0.0))
        if until > now:
            return until - now
        delay = min(_FIRST_BACKOFF * 2**failures, _LAST_BACKOFF)
        self._failures[slot] = (failures + 1, now + delay)
        return 0.0

    def _next_available(self, owner: Object, pods: Iterable[Object], now: float) -> float | None:
        min_ready = int(owner["spec"].get("minReadySeconds") or 0)
        waits = (podstate.available_in(pod, min_ready, now) for pod in pods if min_ready)
        return min((wait for wait in waits if wait), default=None)


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    obj = new or old
    return (key(obj),) if obj else ()


def _facts(node: Object) -> tuple[object, ...]:
    spec = node.get("spec") or {}
    return labels(node), spec.get("taints"), spec.get("unschedulable"), is_deleting(node)


def _sooner(left: float | None, right: float | None) -> float | None:
    return min((found for found in (left, right) if found is not None), default=None)
