"""Create and delete the pods of an owner, with the events that Kubernetes writes for it.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_utils.go
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import key, name, namespace, uid
from netemu.client.informer import Informer
from netemu.client.protocol import ApiClient
from netemu.controllers.batch import apply_side_by_side, apply_slow_start
from netemu.controllers.context import Recorder
from netemu.controllers.writes import OwnWrites
from netemu.errors import ApiError

_GONE = ("NotFound", "Conflict")
"""Answers to a delete with a uid that mean: that pod is no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodControl:
    """Writes pods on behalf of owners of one kind."""

    client: ApiClient
    events: Recorder
    writes: OwnWrites
    pods: Informer
    owner_kind: Resource

    async def create(self, owner: Object, pods: Sequence[Object]) -> list[ApiError]:
        """Create all `pods`, in growing batches; the errors of the batch that ended it."""
        where = key(owner)

        async def one(pod: Object) -> None:
            try:
                made = await self.client.create(kinds.PODS, pod)
            except ApiError as error:
                if error.reason != "AlreadyExists" and not _terminating(error):
                    self._tell(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self.writes.note(where, self.pods, made)
            self._tell(owner, "Normal", "SuccessfulCreate", f"Created pod: {name(made)}")

        return await apply_slow_start(pods, one)

    async def delete(self, owner: Object, pods: Sequence[Object]) -> list[ApiError]:
        """Delete all `pods` at once, each by its uid; what is gone already is no error."""
        where = key(owner)

        async def one(pod: Object) -> None:
            try:
                await self.client.delete(kinds.PODS, name(pod), namespace(pod), uid=uid(pod))
            except ApiError as error:
                if error.reason in _GONE:
                    return
                self._tell(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            self.writes.deleted(where, self.pods, pod)
            self._tell(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name(pod)}")

        return await apply_side_by_side(pods, one)

    def _tell(self, owner: Object, type_: str, reason: str, message: str) -> None:
        self.events.event(owner, self.owner_kind, type_, reason, message)


def _terminating(error: ApiError) -> bool:
    """Refused because the namespace is on its way out: nobody needs to be told."""
    causes = error.details.get("causes") or ()
    return error.reason == "Forbidden" and any(
        cause.get("reason") == "NamespaceTerminating" for cause in causes
    )
