"""The hooks that a kind may have in the pipeline; most kinds have none."""

from __future__ import annotations

from netemu.api.kind import Object
from netemu.api.podspec.noeffect import without_effect
from netemu.apiserver.pipeline.context import Context, DeleteOptions

_WITH_PODS = frozenset(
    (
        "Pod",
        "ReplicationController",
        "ReplicaSet",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
    )
)


class Strategy:
    """All hooks may change `obj`, which is the pipeline's own, and may raise ApiError."""

    returns_deleted = False
    """Whether DELETE answers with the object; otherwise with a Status."""
    shares = False
    """Whether several servers give away the same numbers, so that writes need a `claim`."""

    def admit_create(self, ctx: Context, obj: Object) -> None:
        """After defaults, before `prepare`; may reserve what `release` gives back."""

    def admit_update(self, ctx: Context, obj: Object, old: Object) -> None:
        """Before an update of anything but a subresource, after `prepare`."""

    def warnings(self, obj: Object) -> list[str]:
        """What whoever wrote `obj` should know about it; sent as Warning headers."""
        return without_effect(obj) if obj.get("kind") in _WITH_PODS else []

    async def claim(self, ctx: Context, obj: Object, old: Object | None) -> bool:
        """Last before the write: False when another server just gave away the same."""
        return True

    async def settled(self, ctx: Context, obj: Object) -> None:
        """The write after a `claim` is over, done or not."""

    def release(self, ctx: Context, obj: Object) -> None:
        """The write that `admit_…` prepared is over, done or not: drop reservations."""

    def grace_seconds(self, obj: Object, options: DeleteOptions) -> int:
        """How long the object stays, marked as deleting; 0: it goes at once."""
        return 0

    def begin_deletion(self, ctx: Context, obj: Object) -> None:
        """The object was just marked with a deletionTimestamp."""

    def holds(self, obj: Object) -> bool:
        """Whether an object marked as deleting must stay for another reason than finalizers."""
        return False
