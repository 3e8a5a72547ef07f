"""Bind claims to volumes, make volumes that are missing, reclaim those that are let go.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/volume/persistentvolume/pv_controller.go
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of
from netemu.api.meta import is_deleting, key, name, namespace, uid
from netemu.controllers.context import BY_CLAIM, ControllerContext, claims_of
from netemu.controllers.controller import Controller
from netemu.controllers.statuswrite import apply_status
from netemu.controllers.volumes import match, provision
from netemu.errors import ApiError

Reclaim = Callable[[str], Awaitable[None]]
"""Remove the directory of a volume that was deleted."""


class VolumeBinder(Controller):
    """Keys are claims (`namespace/name`) and volumes (`name`). One worker: no volume twice."""

    name: ClassVar[str] = "persistentvolume-binder"
    workers: ClassVar[int] = 1

    def __init__(self, context: ControllerContext, reclaim: Reclaim | None = None) -> None:
        super().__init__(context)
        self._root = context.config.data_dir / "volumes"
        self._reclaim = reclaim
        self.claims = self.watch(kinds.PERSISTENT_VOLUME_CLAIMS, self._claim_keys)
        self.volumes = self.watch(kinds.PERSISTENT_VOLUMES, self._volume_keys)
        self.classes = self.watch(kinds.STORAGE_CLASSES, self._class_keys)
        self.pods = self.watch(kinds.PODS, self._pod_keys)

    def _claim_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        if new is not None:
            return (key(new),)
        bound = old["spec"].get("volumeName") if old is not None else None
        return (bound,) if bound else ()

    def _volume_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """The volume itself, and the claims that may want it or are bound to it."""
        found = [name(new)] if new is not None else []
        for claim in self.claims.objects.values():
            bound = claim["spec"].get("volumeName")
            mine = bound in [name(volume) for volume in (old, new) if volume is not None]
            if mine or (new is not None and match.phase(claim) == "Pending"):
                found.append(key(claim))
        return found

    def _class_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        waiting = self.claims.objects.values()
        return [key(claim) for claim in waiting if match.phase(claim) == "Pending"]

    def _pod_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """Claims that have waited for their first user."""
        if old is not None or new is None or not new["spec"].get("volumes"):
            return ()
        found = ((where, self.claims.get(where)) for where in claims_of(new))
        return [where for where, claim in found if claim and match.phase(claim) == "Pending"]

    async def reconcile(self, key: str) -> float | None:
        if "/" in key:
            claim = self.claims.get(key)
            if claim is not None:
                await self._sync_claim(key, claim)
        else:
            volume = self.volumes.get(key)
            if volume is not None:
                await self._sync_volume(key, volume)
        return None

    # --- claims -------------------------------------------------------------------------------

    async def _sync_claim(self, where: str, claim: Object) -> None:
        bound = claim["spec"].get("volumeName")
        if bound and annotations_of(claim).get(provision.BIND_COMPLETED):
            volume = self.volumes.get(bound)
            lost = volume is None or not match.is_claimed_by(volume, claim)
            await self._tell_claim(where, claim, "Lost" if lost else "Bound", volume)
            return
        if is_deleting(claim):
            return
        default = match.default_class(self.classes.objects.values())
        volume = match.choose(claim, self.volumes.objects.values(), default)
        named = match.class_of(claim, default)
        if not bound and self._waits_for_user(where, named):
            text = "waiting for first consumer to be created before binding"
            resource = kinds.PERSISTENT_VOLUME_CLAIMS
            self.events.event(claim, resource, "Normal", "WaitForFirstConsumer", text)
            await self._tell_claim(where, claim, "Pending", None)
            return
        if volume is None and provision.may_provision(claim, named, self.classes.get(named)):
            volume = await self._provision(where, claim, named)
        if volume is None:
            text = "no persistent volumes available for this claim and no storage class is set"
            if bound:
                text = f'volume "{bound}" does not exist, is taken or does not fit'
            resource = kinds.PERSISTENT_VOLUME_CLAIMS
            self.events.event(claim, resource, "Normal", "FailedBinding", text)
            await self._tell_claim(where, claim, "Pending", None)
            return
        await self._bind(where, claim, volume)

    def _waits_for_user(self, where: str, class_name: str) -> bool:
        """volumeBindingMode WaitForFirstConsumer, and no pod wants the claim yet.

        Our volumes are everywhere on this machine: which node the pod gets does not matter.
        """
        mode = (self.classes.get(class_name) or {}).get("volumeBindingMode")
        return mode == "WaitForFirstConsumer" and not self.pods.by_index(BY_CLAIM, where)

    async def _provision(self, where: str, claim: Object, class_name: str) -> Object:
        storage_class = self.classes.get(class_name)
        wanted = provision.desired_volume(claim, self._root, class_name, storage_class)
        try:
            volume = await self.client.create(kinds.PERSISTENT_VOLUMES, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                text = f"failed to provision volume: {error}"
                resource = kinds.PERSISTENT_VOLUME_CLAIMS
                self.events.event(claim, resource, "Warning", "ProvisioningFailed", text)
                raise
            return await self.client.get(kinds.PERSISTENT_VOLUMES, name(wanted))
        text = f"Successfully provisioned volume {name(volume)}"
        self.events.event(
            claim, kinds.PERSISTENT_VOLUME_CLAIMS, "Normal", "ProvisioningSucceeded", text
        )
        return self.writes.note(where, self.volumes, volume)

    async def _bind(self, where: str, claim: Object, volume: Object) -> None:
        """First the volume knows its claim, then the claim its volume: no volume has two."""
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid") != uid(claim):
            version = volume["metadata"]["resourceVersion"]
            meta: dict[str, Any] = {"resourceVersion": version}
            if not reference:
                meta["annotations"] = {provision.BOUND_BY_CONTROLLER: "yes"}
            patch = {"metadata": meta, "spec": {"claimRef": provision.claim_reference(claim)}}
            volume = await self.client.patch(kinds.PERSISTENT_VOLUMES, name(volume), "", patch)
            self.writes.note(where, self.volumes, volume)
        marks = {provision.BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            marks[provision.BOUND_BY_CONTROLLER] = "yes"
        patch = {"metadata": {"annotations": marks}, "spec": {"volumeName": name(volume)}}
        claim = await self.client.patch(
            kinds.PERSISTENT_VOLUME_CLAIMS, name(claim), namespace(claim), patch
        )
        self.writes.note(where, self.claims, claim)
        await self._tell_claim(where, claim, "Bound", volume)

    async def _tell_claim(
        self, where: str, claim: Object, phase: str, volume: Object | None
    ) -> None:
        status: dict[str, Any] = {**(claim.get("status") or {}), "phase": phase}
        if phase == "Bound" and volume is not None:
            status["accessModes"] = volume["spec"]["accessModes"]
            status["capacity"] = volume["spec"]["capacity"]
        written = await apply_status(self.client, kinds.PERSISTENT_VOLUME_CLAIMS, claim, status)
        if written is not None:
            self.writes.note(where, self.claims, written)

    # --- volumes ------------------------------------------------------------------------------

    async def _sync_volume(self, where: str, volume: Object) -> None:
        reference = volume["spec"].get("claimRef")
        if is_deleting(volume):
            return
        if not reference or not reference.get("uid"):
            await self._tell_volume(where, volume, "Available")
            return
        claim = self.claims.get(f"{reference['namespace']}/{reference['name']}")
        if claim is None or uid(claim) != reference["uid"]:
            await self._release(where, volume, reference)
            return
        await self._tell_volume(where, volume, "Bound")

    async def _release(self, where: str, volume: Object, reference: Any) -> None:
        """Its claim is gone (the server is asked): keep it, or delete it with its directory."""
        try:
            found = await self.client.get(
                kinds.PERSISTENT_VOLUME_CLAIMS, reference["name"], reference["namespace"]
            )
            if uid(found) == reference["uid"]:
                return
        except ApiError as error:
            if error.reason != "NotFound":
                raise
        await self._tell_volume(where, volume, "Released")
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            return
        if provision.is_ours(volume) and self._reclaim is not None:
            await self._reclaim(volume["spec"]["hostPath"]["path"])
        try:
            await self.client.delete(kinds.PERSISTENT_VOLUMES, name(volume), uid=uid(volume))
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    async def _tell_volume(self, where: str, volume: Object, phase: str) -> None:
        status = {**(volume.get("status") or {}), "phase": phase}
        written = await apply_status(self.client, kinds.PERSISTENT_VOLUMES, volume, status)
        if written is not None:
            self.writes.note(where, self.volumes, written)
