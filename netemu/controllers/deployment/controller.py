"""The acting part: look at a Deployment's ReplicaSets, make and scale them, tell the status.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/deployment/deployment_controller.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import (
    annotations as annotations_of,
)
from netemu.api.meta import (
    controller_of,
    is_deleting,
    key,
    name,
    namespace,
    uid,
)
from netemu.controllers import podstate
from netemu.controllers.claim import Claimer, owner_keys
from netemu.controllers.conditions import find
from netemu.controllers.context import BY_OWNER, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.deployment import revisions, rollout, scaling
from netemu.controllers.deployment import status as statuses
from netemu.controllers.deployment.newset import NewSets
from netemu.controllers.deployment.rollout import Sizes, replicas
from netemu.controllers.selecting import matcher, selects
from netemu.controllers.statuswrite import apply_status
from netemu.errors import ApiError


class DeploymentController(Controller):
    name: ClassVar[str] = "deployment"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.deployments = self.watch(kinds.DEPLOYMENTS, _own_keys)
        self.sets = self.watch(
            kinds.REPLICA_SETS, owner_keys(kinds.DEPLOYMENTS, self.deployments, selects)
        )
        self.pods = self.watch(kinds.PODS, self._gone_pod_keys)
        self.claimer = Claimer(
            client=self.client,
            writes=self.writes,
            owner_kind=kinds.DEPLOYMENTS,
            child_kind=kinds.REPLICA_SETS,
            children=self.sets,
        )
        self.new_sets = NewSets(
            client=self.client,
            events=self.events,
            writes=self.writes,
            sets=self.sets,
            clock=self.clock,
        )

    def _gone_pod_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """Recreate waits until the last old pod is gone."""
        owner = controller_of(old) if old is not None and new is None else None
        if old is None or owner is None or owner["kind"] != "ReplicaSet":
            return ()
        rs = self.sets.get(f"{namespace(old)}/{owner['name']}")
        parent = controller_of(rs) if rs is not None else None
        return (f"{namespace(old)}/{parent['name']}",) if parent else ()

    async def reconcile(self, key: str) -> float | None:
        deployment = self.deployments.get(key)
        if deployment is None or _selects_all(deployment):
            return None
        sets = await self.claimer.claim(deployment, matcher(deployment))
        now = self.clock.now()
        if is_deleting(deployment):
            new = revisions.find_new(deployment, sets)
            view, status = deployment, statuses.desired_counts(deployment, sets, new, now)
        else:
            # `view` carries conditions that this look has set and the last line writes.
            view = _with_pause_condition(deployment, now)
            if view["spec"].get("paused") or scaling.is_scaling(view, sets):
                view, status = await self._resize(view, sets)
            else:
                view, status = await self._roll(view, sets)
        written = await apply_status(
            self.client, kinds.DEPLOYMENTS, {**view, "status": deployment.get("status")}, status
        )
        if written is not None:
            deployment = self.writes.note(key, self.deployments, written)
        return statuses.next_check(deployment, self.clock.now())

    async def _resize(self, view: Object, sets: Sequence[Object]) -> tuple[Object, Object]:
        """Paused, or of another size than before: no new set, only new sizes."""
        new = revisions.find_new(view, sets)
        old = [rs for rs in sets if rs is not new]
        if new is not None:
            view, new = await self.new_sets.adjust(view, new, old)
        sizes = scaling.plan_scaling(view, new, old)
        everything = [*old, *([new] if new is not None else [])]
        # Sets that keep their size are told the Deployment's new one as well.
        everything = await self._scale(view, everything, sizes, announce=True)
        if view["spec"].get("paused"):
            await self._clean(view, [rs for rs in everything if name(rs) != _name(new)])
        new = _named(everything, new)
        return view, statuses.desired_counts(view, everything, new, self.clock.now())

    async def _roll(self, view: Object, sets: Sequence[Object]) -> tuple[Object, Object]:
        new = revisions.find_new(view, sets)
        old = [rs for rs in sets if rs is not new]
        if not rollout.is_rolling(view):
            old = await self._scale(view, old, rollout.plan_recreate(old))
            if new is None and self._has_pods(old):
                return view, statuses.desired_status(view, old, None, self.clock.now())
        if new is None:
            view, new = await self.new_sets.make(view, sets)
            if new is None:
                return view, statuses.desired_counts(view, sets, None, self.clock.now())
        else:
            view, new = await self.new_sets.adjust(view, new, old)
        if rollout.is_rolling(view) or not self._has_pods(old):
            (new,) = await self._scale(view, [new], rollout.plan_new(view, [*old, new], new))
        if rollout.is_rolling(view):
            old = await self._scale(view, old, rollout.plan_old(view, new, old))
        status = statuses.desired_status(view, [*old, new], new, self.clock.now())
        if statuses.is_complete(view, status):
            await self._clean(view, old)
        return view, status

    async def _scale(
        self, view: Object, sets: Sequence[Object], sizes: Sizes, *, announce: bool = False
    ) -> list[Object]:
        """The sets after those named in `sizes` were scaled."""
        scaled = []
        for rs in sets:
            size = sizes.get(name(rs))
            if size is not None or (announce and replicas(rs)):
                rs = await self._resize_one(view, rs, replicas(rs) if size is None else size)
            scaled.append(rs)
        return scaled

    async def _resize_one(self, view: Object, rs: Object, size: int) -> Object:
        marks = rollout.sizes_of(view)
        told = {k: annotations_of(rs).get(k) for k in marks}
        if size == replicas(rs) and told == marks:
            return rs
        patch = {"metadata": {"annotations": marks}, "spec": {"replicas": size}}
        scaled = await self.client.patch(kinds.REPLICA_SETS, name(rs), namespace(rs), patch)
        self.writes.note(key(view), self.sets, scaled)
        if size != replicas(rs):
            way = "up" if size > replicas(rs) else "down"
            text = f"Scaled {way} replica set {name(rs)} from {replicas(rs)} to {size}"
            self.events.event(view, kinds.DEPLOYMENTS, "Normal", "ScalingReplicaSet", text)
        return scaled

    def _has_pods(self, sets: Iterable[Object]) -> bool:
        """Whether a pod of these sets still runs, be it on its way out."""
        return any(
            not podstate.is_finished(pod)
            for rs in sets
            for pod in self.pods.by_index(BY_OWNER, uid(rs))
        )

    async def _clean(self, deployment: Object, old: Sequence[Object]) -> None:
        for rs in revisions.plan_cleanup(deployment, old):
            try:
                await self.client.delete(kinds.REPLICA_SETS, name(rs), namespace(rs), uid=uid(rs))
            except ApiError as error:
                if error.reason not in ("NotFound", "Conflict"):
                    raise
            else:
                self.writes.deleted(key(deployment), self.sets, rs)


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    obj = new or old
    return (key(obj),) if obj else ()


def _selects_all(deployment: Object) -> bool:
    selector = deployment["spec"].get("selector") or {}
    return not (selector.get("matchLabels") or selector.get("matchExpressions"))


def _name(rs: Object | None) -> str:
    return name(rs) if rs is not None else ""


def _named(sets: Iterable[Object], rs: Object | None) -> Object | None:
    return next((found for found in sets if name(found) == _name(rs)), None)


def _with_pause_condition(deployment: Object, now: float) -> Object:
    """The Deployment with Progressing Unknown while paused, and again when resumed."""
    if statuses.deadline(deployment) is None:
        return deployment
    status = deployment.get("status") or {}
    progressing = find(status.get("conditions") or (), "Progressing")
    reason = progressing["reason"] if progressing else ""
    paused = bool(deployment["spec"].get("paused"))
    if reason == statuses.TIMED_OUT or paused == (reason == "DeploymentPaused"):
        return deployment
    word = "Paused" if paused else "Resumed"
    conditions = statuses.with_progress(
        deployment, "Unknown", f"Deployment{word}", f"Deployment is {word.lower()}", now
    )
    return {**deployment, "status": {**status, "conditions": conditions}}
