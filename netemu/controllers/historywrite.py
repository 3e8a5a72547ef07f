"""Keep the ControllerRevisions of a StatefulSet or DaemonSet.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/controller-revision-v1/
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import key, name, namespace, uid
from netemu.client.informer import Informer
from netemu.client.protocol import ApiClient
from netemu.controllers import history
from netemu.controllers.claim import Claimer
from netemu.controllers.selecting import matcher
from netemu.controllers.writes import OwnWrites
from netemu.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryControl:
    """Writes revisions on behalf of owners of one kind."""

    client: ApiClient
    writes: OwnWrites
    owner_kind: Resource
    revisions: Informer

    async def list(self, owner: Object) -> list[Object]:
        """The owner's revisions, oldest first; orphans that match are adopted."""
        claimer = Claimer(
            client=self.client,
            writes=self.writes,
            owner_kind=self.owner_kind,
            child_kind=kinds.CONTROLLER_REVISIONS,
            children=self.revisions,
        )
        return history.ordered(await claimer.claim(owner, matcher(owner)))

    async def update_revision(
        self, owner: Object, revisions: Sequence[Object], collisions: int
    ) -> tuple[Object, int]:
        """The revision of the present template, newest of all; and the new collision count."""
        equal = history.find_equal(revisions, owner)
        if equal is not None and equal is revisions[-1]:
            return equal, collisions
        if equal is not None:
            # Rolled back: the old revision becomes the newest.
            patch = {"revision": history.number(revisions[-1]) + 1}
            return self._note(
                owner,
                await self.client.patch(
                    kinds.CONTROLLER_REVISIONS, name(equal), namespace(equal), patch
                ),
            ), collisions
        while True:
            wanted = history.desired_revision(owner, self.owner_kind, revisions, collisions)
            try:
                made = await self.client.create(kinds.CONTROLLER_REVISIONS, wanted)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
                found = await self.client.get(
                    kinds.CONTROLLER_REVISIONS, name(wanted), namespace(wanted)
                )
                if history.template_of(found) == owner["spec"]["template"]:
                    return self._note(owner, found), collisions
                collisions += 1
            else:
                return self._note(owner, made), collisions

    async def truncate(
        self, owner: Object, revisions: Sequence[Object], live: Collection[str]
    ) -> None:
        """Delete what revisionHistoryLimit no longer keeps."""
        limit = owner["spec"].get("revisionHistoryLimit")
        for revision in history.plan_truncate(revisions, live, limit):
            try:
                await self.client.delete(
                    kinds.CONTROLLER_REVISIONS,
                    name(revision),
                    namespace(revision),
                    uid=uid(revision),
                )
            except ApiError as error:
                if error.reason not in ("NotFound", "Conflict"):
                    raise
            else:
                self.writes.deleted(key(owner), self.revisions, revision)

    def _note(self, owner: Object, written: Object) -> Object:
        return self.writes.note(key(owner), self.revisions, written)
