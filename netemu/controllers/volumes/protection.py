"""A claim stays while a pod uses it, and a volume while a claim has it.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import is_deleting, key, metadata, name, namespace
from netemu.controllers.context import BY_CLAIM, ControllerContext, claims_of
from netemu.controllers.controller import Controller
from netemu.controllers.podstate import is_finished
from netemu.errors import ApiError

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


def finalizer_step(obj: Object, finalizer: str, *, in_use: bool) -> list[str] | None:
    """The finalizers that the object should have; None when it has them."""
    present = list(metadata(obj).get("finalizers") or ())
    if not is_deleting(obj):
        return [*present, finalizer] if finalizer not in present else None
    if finalizer in present and not in_use:
        return [found for found in present if found != finalizer]
    return None


class VolumeProtection(Controller):
    """Keys are claims (`namespace/name`) and volumes (`name`)."""

    name: ClassVar[str] = "volume-protection"
    workers: ClassVar[int] = 2

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.claims = self.watch(kinds.PERSISTENT_VOLUME_CLAIMS, _own_keys)
        self.volumes = self.watch(kinds.PERSISTENT_VOLUMES, _own_keys)
        self.pods = self.watch(kinds.PODS, self._pod_keys)

    def _pod_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """Claims whose last user may have gone."""
        if old is None or not old["spec"].get("volumes"):
            return ()
        return claims_of(old) if new is None or is_finished(new) else ()

    async def reconcile(self, key: str) -> float | None:
        if "/" in key:
            claim = self.claims.get(key)
            if claim is not None:
                users = self.pods.by_index(BY_CLAIM, key)
                in_use = any(not is_finished(pod) for pod in users)
                wanted = finalizer_step(claim, CLAIM_FINALIZER, in_use=in_use)
                await self._write(kinds.PERSISTENT_VOLUME_CLAIMS, claim, wanted)
        else:
            volume = self.volumes.get(key)
            if volume is not None:
                in_use = (volume.get("status") or {}).get("phase") == "Bound"
                wanted = finalizer_step(volume, VOLUME_FINALIZER, in_use=in_use)
                await self._write(kinds.PERSISTENT_VOLUMES, volume, wanted)
        return None

    async def _write(self, resource: Resource, obj: Object, wanted: list[str] | None) -> None:
        if wanted is None:
            return
        version = metadata(obj)["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "finalizers": wanted or None}}
        try:
            written = await self.client.patch(resource, name(obj), namespace(obj), patch)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
        else:
            self.writes.note(key(obj), self.context.informer(resource), written)


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    return (key(new),) if new else ()
