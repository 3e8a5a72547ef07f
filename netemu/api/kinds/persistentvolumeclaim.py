"""PersistentVolumeClaim: a pod's wish for storage, which a PersistentVolume is bound to.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#persistentvolumeclaims
"""

from __future__ import annotations

from netemu.api import meta
from netemu.api.cells import AGE, NAME, at
from netemu.api.invalid import forbidden, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.kinds.persistentvolume import access_modes, check_access_modes
from netemu.api.labelrules import check_label_selector
from netemu.api.podspec.resources import check_positive

_CHANGEABLE = frozenset(("resources", "volumeAttributesClassName"))
_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName "
    "for bound claims"
)


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"phase": "Pending"}


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    modes = spec.get("accessModes") or []
    causes = [] if modes else [required("spec.accessModes", "at least 1 access mode is required")]
    causes += check_access_modes(modes, "spec.accessModes") if modes else []
    if spec.get("selector") is not None:
        causes += check_label_selector(spec["selector"], "spec.selector")
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if amount is None:
        causes.append(required("spec.resources[storage]"))
    else:
        causes += check_positive(amount, "spec.resources[storage]")
    if old is not None:
        before = old.get("spec") or {}
        changed = {
            key for key in {*spec, *before} - _CHANGEABLE if spec.get(key) != before.get(key)
        }
        if "volumeName" in changed and not before.get("volumeName"):
            changed.discard("volumeName")  # the binder fills it in
        if changed:
            causes.append(forbidden("spec", _IMMUTABLE))
    return causes


def _status(obj: Object, now: float) -> str:
    return "Terminating" if meta.is_deleting(obj) else at("status", "phase")(obj, now)


def _if_bound(obj: Object, now: float, cell: str) -> str:
    if not (obj.get("spec") or {}).get("volumeName"):
        return ""
    status = obj.get("status") or {}
    if cell == "capacity":
        return str((status.get("capacity") or {}).get("storage") or "")
    return access_modes(status.get("accessModes") or [])


PERSISTENT_VOLUME_CLAIMS = Kind(
    plural="persistentvolumeclaims",
    kind="PersistentVolumeClaim",
    short_names=("pvc",),
    schema="io.k8s.api.core.v1.PersistentVolumeClaim",
    subresources=frozenset(("status",)),
    default=_default,
    prepare=_prepare,
    validate=_validate,
    columns=(
        NAME,
        Column("Status", _status),
        Column("Volume", at("spec", "volumeName")),
        Column("Capacity", lambda obj, now: _if_bound(obj, now, "capacity")),
        Column("Access Modes", lambda obj, now: _if_bound(obj, now, "modes")),
        Column("StorageClass", at("spec", "storageClassName")),
        Column("VolumeAttributesClass", at("spec", "volumeAttributesClassName", default="<unset>")),
        AGE,
        Column("VolumeMode", at("spec", "volumeMode", default="<unset>"), priority=1),
    ),
)
