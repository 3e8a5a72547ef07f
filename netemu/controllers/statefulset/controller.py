"""The acting part: start and stop the pods that the plan names, write the status.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, name, namespace, uid
from netemu.controllers import history, podstate
from netemu.controllers.batch import apply_side_by_side
from netemu.controllers.claim import Claimer, owner_keys
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.historywrite import HistoryControl
from netemu.controllers.selecting import matcher, selects
from netemu.controllers.statefulset.claims import ClaimControl
from netemu.controllers.statefulset.identity import (
    desired_member,
    identity_patch,
    is_member,
    ordinal_of,
    revision_of,
)
from netemu.controllers.statefulset.plan import Plan, View, plan, view_of, wants_current
from netemu.controllers.statefulset.status import desired_status, next_available
from netemu.controllers.statuswrite import apply_status
from netemu.errors import ApiError


class StatefulSetController(Controller):
    name: ClassVar[str] = "statefulset"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.owners = self.watch(kinds.STATEFUL_SETS, _own_keys)
        self.pods = self.watch(kinds.PODS, owner_keys(kinds.STATEFUL_SETS, self.owners, selects))
        self.claims = ClaimControl(
            client=self.client,
            events=self.events,
            claims=self.watch(kinds.PERSISTENT_VOLUME_CLAIMS),
        )
        self.history = HistoryControl(
            client=self.client,
            writes=self.writes,
            owner_kind=kinds.STATEFUL_SETS,
            revisions=self.watch(kinds.CONTROLLER_REVISIONS),
        )
        self.claimer = Claimer(
            client=self.client,
            writes=self.writes,
            owner_kind=kinds.STATEFUL_SETS,
            child_kind=kinds.PODS,
            children=self.pods,
        )

    def pause(self, key: str) -> float:
        """A look walks over all pods; a large set rests a little after each."""
        owner = self.owners.get(key)
        size = int(owner["spec"].get("replicas") or 0) if owner else 0
        return min(size / 20_000, 0.05) if size > 20 else 0.0

    async def reconcile(self, key: str) -> float | None:
        owner = self.owners.get(key)
        if owner is None:
            return None
        pods = await self._claim(owner)
        revisions = await self.history.list(owner)
        old = owner.get("status") or {}
        collisions = int(old.get("collisionCount") or 0)
        if is_deleting(owner) and revisions:
            update = revisions[-1]
        else:
            update, collisions = await self.history.update_revision(owner, revisions, collisions)
        named = {name(rev): rev for rev in (*revisions, update)}
        current = named.get(old.get("currentRevision") or "", update)
        view = view_of(owner, pods, self.clock.now())
        step = plan(view, name(update))
        await self._repair(view)
        errors = await self._apply(view, step, current, update)
        status = desired_status(view, name(current), name(update), collisions)
        written = await apply_status(self.client, kinds.STATEFUL_SETS, owner, status)
        if written is not None:
            self.writes.note(key, self.owners, written)
        live = {name(current), name(update), *map(revision_of, pods)}
        await self.history.truncate(owner, revisions, live)
        if errors:
            raise errors[0]
        return next_available(view)

    async def _claim(self, owner: Object) -> list[Object]:
        matches = matcher(owner)
        return await self.claimer.claim(owner, lambda pod: is_member(owner, pod) and matches(pod))

    async def _apply(
        self, view: View, step: Plan, current: Object, update: Object
    ) -> Sequence[ApiError]:
        async def create(ordinal: int) -> None:
            await self._create(view.owner, ordinal, current, update)

        async def delete(pod: Object) -> None:
            await self._delete(view.owner, pod)

        for pod in step.condemned:
            await self.claims.retain(view.owner, pod, scaled=True)
        errors = await apply_side_by_side(step.create, create) if step.create else []
        return errors + (await apply_side_by_side(step.delete, delete) if step.delete else [])

    async def _create(self, owner: Object, ordinal: int, current: Object, update: Object) -> None:
        revision = current if wants_current(owner, ordinal) else update
        await self.claims.ensure(owner, ordinal)
        pod = desired_member(owner, history.template_of(revision), name(revision), ordinal)
        what = f"create Pod {name(pod)} in StatefulSet {name(owner)}"
        try:
            made = await self.client.create(kinds.PODS, pod)
        except ApiError as error:
            self._tell(owner, "Warning", "FailedCreate", f"{what} failed error: {error}")
            raise
        self.writes.note(key(owner), self.pods, made)
        self._tell(owner, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _delete(self, owner: Object, pod: Object) -> None:
        if podstate.is_finished(pod):
            text = f"StatefulSet {key(owner)} is recreating {podstate.phase(pod)} Pod {name(pod)}"
            reason = "RecreatingFailedPod"
            if podstate.phase(pod) == "Succeeded":
                reason = "RecreatingTerminatedPod"
            self._tell(owner, "Warning", reason, text)
        what = f"delete Pod {name(pod)} in StatefulSet {name(owner)}"
        try:
            await self.client.delete(kinds.PODS, name(pod), namespace(pod), uid=uid(pod))
        except ApiError as error:
            if error.reason in ("NotFound", "Conflict"):
                return
            self._tell(owner, "Warning", "FailedDelete", f"{what} failed error: {error}")
            raise
        self.writes.deleted(key(owner), self.pods, pod)
        self._tell(owner, "Normal", "SuccessfulDelete", f"{what} successful")

    async def _repair(self, view: View) -> None:
        """Give pods their identity labels back, and claims their owners and existence."""
        for pod in view.slots.values():
            if pod is None or is_deleting(pod):
                continue
            if patch := identity_patch(view.owner, pod):
                fixed = await self.client.patch(kinds.PODS, name(pod), namespace(pod), patch)
                self.writes.note(key(view.owner), self.pods, fixed)
            if podstate.phase(pod) == "Pending":
                await self.claims.ensure(view.owner, ordinal_of(pod))
            await self.claims.retain(view.owner, pod, scaled=False)

    def _tell(self, owner: Object, type_: str, reason: str, message: str) -> None:
        self.events.event(owner, kinds.STATEFUL_SETS, type_, reason, message)


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    obj = new or old
    return (key(obj),) if obj else ()
