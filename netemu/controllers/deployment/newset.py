"""Make the ReplicaSet of a Deployment's template, or bring the one that is there up to date.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netemu.aio import Clock
from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of
from netemu.api.meta import controller_of, key, name, namespace, uid
from netemu.client.informer import Informer
from netemu.client.protocol import ApiClient
from netemu.controllers.context import Recorder
from netemu.controllers.deployment import revisions, rollout
from netemu.controllers.deployment import status as statuses
from netemu.controllers.podstate import condition
from netemu.controllers.writes import OwnWrites
from netemu.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSets:
    """Both calls return the Deployment with what they changed on it, and the set."""

    client: ApiClient
    events: Recorder
    writes: OwnWrites
    sets: Informer
    clock: Clock

    async def adjust(
        self, deployment: Object, new: Object, old: Sequence[Object]
    ) -> tuple[Object, Object]:
        """Annotations and minReadySeconds of the set as the Deployment has them now."""
        # Its sizes are left alone: they tell `scaling` what the set was last scaled for.
        revision = revisions.next_revision(old)
        marks = revisions.desired_annotations(deployment, revision, annotations_of(new))
        patch: dict[str, Any] = {}
        if marks != annotations_of(new):
            gone = {k: None for k in annotations_of(new) if k not in marks}
            patch["metadata"] = {"annotations": {**marks, **gone}}
        seconds = int(deployment["spec"].get("minReadySeconds") or 0)
        if seconds != int(new["spec"].get("minReadySeconds") or 0):
            patch["spec"] = {"minReadySeconds": seconds}
        if patch:
            new = await self.client.patch(kinds.REPLICA_SETS, name(new), namespace(new), patch)
            self.writes.note(key(deployment), self.sets, new)
        deployment = await self._show_revision(deployment, new)
        if (
            statuses.deadline(deployment) is not None
            and condition(deployment, "Progressing") is None
        ):
            text = f'Found new replica set "{name(new)}"'
            deployment = self._progress(deployment, "True", "FoundNewReplicaSet", text)
        return deployment, new

    async def make(self, deployment: Object, old: Sequence[Object]) -> tuple[Object, Object | None]:
        """Create the set; None when its name was taken, and then the next hash is tried."""
        size = rollout.new_set_size(deployment, old, None)
        revision = revisions.next_revision(old)
        marks = revisions.desired_annotations(deployment, revision, {})
        marks |= rollout.sizes_of(deployment)
        wanted = revisions.desired_set(deployment, replicas=size, marks=marks)
        try:
            new = await self.client.create(kinds.REPLICA_SETS, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                text = f'Failed to create new replica set "{name(wanted)}": {error}'
                self._tell(deployment, "Warning", "FailedCreate", text)
                raise
            return await self._taken(deployment, wanted)
        self.writes.note(key(deployment), self.sets, new)
        if size:
            text = f"Scaled up replica set {name(new)} from 0 to {size}"
            self._tell(deployment, "Normal", "ScalingReplicaSet", text)
        deployment = await self._show_revision(deployment, new)
        if statuses.deadline(deployment) is not None:
            text = f'Created new replica set "{name(new)}"'
            deployment = self._progress(deployment, "True", "NewReplicaSetCreated", text)
        return deployment, new

    async def _taken(self, deployment: Object, wanted: Object) -> tuple[Object, Object | None]:
        """The name exists: ours with the same template (a lagging cache), or a hash collision."""
        found = await self.client.get(kinds.REPLICA_SETS, name(wanted), namespace(wanted))
        owner = controller_of(found)
        if (
            owner is not None
            and owner["uid"] == uid(deployment)
            and revisions.find_new(deployment, [found])
        ):
            self.writes.note(key(deployment), self.sets, found)
            return deployment, found
        status = deployment.get("status") or {}
        collisions = int(status.get("collisionCount") or 0) + 1
        return {**deployment, "status": {**status, "collisionCount": collisions}}, None

    async def _show_revision(self, deployment: Object, new: Object) -> Object:
        """The Deployment is annotated with the revision of its new set."""
        revision = annotations_of(new).get(revisions.REVISION)
        if annotations_of(deployment).get(revisions.REVISION) == revision:
            return deployment
        patch = {"metadata": {"annotations": {revisions.REVISION: revision}}}
        written = await self.client.patch(
            kinds.DEPLOYMENTS, name(deployment), namespace(deployment), patch
        )
        return {**deployment, "metadata": written["metadata"]}

    def _progress(self, deployment: Object, status: str, reason: str, text: str) -> Object:
        now = self.clock.now()
        conditions = statuses.with_progress(deployment, status, reason, text, now)
        return {
            **deployment,
            "status": {**(deployment.get("status") or {}), "conditions": conditions},
        }

    def _tell(self, deployment: Object, type_: str, reason: str, message: str) -> None:
        self.events.event(deployment, kinds.DEPLOYMENTS, type_, reason, message)
