"""Claims for pods' ephemeral volumes: made from the pod's own template, gone with the pod.

https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import (
    controller_of,
    copy,
    is_deleting,
    key,
    name,
    namespace,
    owner_reference,
    uid,
)
from netemu.controllers.context import ControllerContext, claims_of
from netemu.controllers.controller import Controller
from netemu.controllers.podstate import is_finished
from netemu.errors import ApiError


def desired_claim(pod: Object, volume: Object) -> Object:
    template = copy(volume["ephemeral"]["volumeClaimTemplate"])
    kept = template.get("metadata") or {}
    meta = {field: kept[field] for field in ("labels", "annotations") if kept.get(field)}
    meta |= {"name": f"{name(pod)}-{volume['name']}", "namespace": namespace(pod)}
    meta["ownerReferences"] = [owner_reference(pod, kinds.PODS)]
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
    return {**claim, "spec": template["spec"]}


class EphemeralVolumeController(Controller):
    """Keys are pods."""

    name: ClassVar[str] = "ephemeral-volume"
    workers: ClassVar[int] = 2

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.pods = self.watch(kinds.PODS, _pod_keys)
        self.claims = self.watch(kinds.PERSISTENT_VOLUME_CLAIMS)

    async def reconcile(self, key: str) -> float | None:
        pod = self.pods.get(key)
        if pod is None or is_deleting(pod) or is_finished(pod):
            return None
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("ephemeral"):
                await self._ensure(key, pod, volume)
        return None

    async def _ensure(self, where: str, pod: Object, volume: Object) -> None:
        named = f"{name(pod)}-{volume['name']}"
        found = self.claims.get(f"{namespace(pod)}/{named}")
        if found is not None:
            owner = controller_of(found)
            if owner is None or owner["uid"] != uid(pod):
                text = f"PVC {namespace(pod)}/{named} was not created for pod {key(pod)} "
                self._refuse(pod, f"{text}(pod is not owner)")
            return
        try:
            made = await self.client.create(
                kinds.PERSISTENT_VOLUME_CLAIMS, desired_claim(pod, volume)
            )
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._refuse(pod, f"ephemeral volume {volume['name']}: create PVC {named}: {error}")
                raise
        else:
            self.writes.note(where, self.claims, made)

    def _refuse(self, pod: Object, text: str) -> None:
        self.events.event(pod, kinds.PODS, "Warning", "EphemeralVolumeProvisioningFailed", text)


def _pod_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    if old is not None or new is None or not new["spec"].get("volumes"):
        return ()
    return (key(new),) if claims_of(new) else ()
