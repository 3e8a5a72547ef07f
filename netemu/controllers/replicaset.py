"""ReplicaSet and ReplicationController: keep N pods of one template alive.

https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import controller_of, key, name, timestamp, uid
from netemu.controllers.claim import Claimer, owner_keys
from netemu.controllers.context import BY_OWNER, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.podcontrol import PodControl
from netemu.controllers.podtemplate import desired_pod, pod_prefix
from netemu.controllers.replicas import (
    ScalePlan,
    desired_status,
    next_available,
    plan_scale,
)
from netemu.controllers.selecting import matcher, selects
from netemu.controllers.statuswrite import apply_status
from netemu.errors import ApiError, TerminalError


class ReplicaSetController(Controller):
    name: ClassVar[str] = "replicaset"
    kind: ClassVar[Resource] = kinds.REPLICA_SETS

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.owners = self.watch(self.kind, self._own_keys)
        self.pods = self.watch(
            kinds.PODS, owner_keys(self.kind, context.informer(self.kind), selects)
        )
        self.control = PodControl(
            client=self.client,
            events=self.events,
            writes=self.writes,
            pods=self.pods,
            owner_kind=self.kind,
        )
        self.claimer = Claimer(
            client=self.client,
            writes=self.writes,
            owner_kind=self.kind,
            child_kind=kinds.PODS,
            children=self.pods,
        )
        self._sizes: dict[str, int] = {}

    def _own_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        obj = new or old
        return (key(obj),) if obj else ()

    def pause(self, key: str) -> float:
        """50 ms for a thousand pods, nothing for a few: a look walks over all of them."""
        size = self._sizes.get(key, 0)
        return min(size / 20_000, 0.05) if size > 20 else 0.0

    async def reconcile(self, key: str) -> float | None:
        owner = self.owners.get(key)
        if owner is None:
            self._sizes.pop(key, None)
            return None
        pods = await self.claimer.claim(owner, matcher(owner))
        self._sizes[key] = max(len(pods), int(owner["spec"].get("replicas", 1)))
        plan = plan_scale(owner, pods, self._related(owner))
        error = await self._apply(owner, plan)
        now = self.clock.now()
        status = desired_status(
            owner, pods, now=now, stamp=timestamp(now), failure=_failure(plan, error)
        )
        written = await apply_status(self.client, self.kind, owner, status)
        if written is not None:
            self.writes.note(key, self.owners, written)
        if error is not None:
            raise _hopeless(error) or error
        return next_available(owner, pods, now)

    async def _apply(self, owner: Object, plan: ScalePlan) -> ApiError | None:
        """Create or delete; the first error, if any."""
        errors: list[ApiError] = []
        if plan.create:
            prefix = pod_prefix(name(owner))
            template = owner["spec"].get("template") or {}
            pods = [
                desired_pod(template, owner, self.kind, prefix=prefix) for _ in range(plan.create)
            ]
            errors = await self.control.create(owner, pods)
        elif plan.delete:
            errors = await self.control.delete(owner, plan.delete)
        return errors[0] if errors else None

    def _related(self, owner: Object) -> Iterator[Object]:
        """Pods of all sets that the owner's own owner controls: whose nodes are crowded."""
        parent = controller_of(owner)
        siblings = self.owners.by_index(BY_OWNER, parent["uid"]) if parent else ()
        for sibling in siblings:
            yield from self.pods.by_index(BY_OWNER, uid(sibling))


class ReplicationControllerController(ReplicaSetController):
    name: ClassVar[str] = "replicationcontroller"
    kind: ClassVar[Resource] = kinds.REPLICATION_CONTROLLERS


def _failure(plan: ScalePlan, error: ApiError | None) -> tuple[str, str] | None:
    if error is None:
        return None
    return ("FailedCreate" if plan.create else "FailedDelete"), error.message


def _hopeless(error: ApiError) -> TerminalError | None:
    """A namespace on its way out takes no new pods; its end will remove the owner too."""
    causes = error.details.get("causes") or ()
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return TerminalError(error.message)
    return None
