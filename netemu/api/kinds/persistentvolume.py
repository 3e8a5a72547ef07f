"""PersistentVolume. netemu stores it; nothing provides real storage behind it.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from netemu.api.cells import AGE, NAME, at
from netemu.api.invalid import forbidden, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.podspec.resources import check_positive

ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_RECLAIM = ("Delete", "Recycle", "Retain")
_SOURCES = frozenset(
    (
        "awsElasticBlockStore",
        "azureDisk",
        "azureFile",
        "cephfs",
        "cinder",
        "csi",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "glusterfs",
        "hostPath",
        "iscsi",
        "local",
        "nfs",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
        "vsphereVolume",
    )
)


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"phase": "Pending"}


def check_access_modes(modes: list[str], path: str) -> list[Cause]:
    causes = [] if modes else [required(path, "")]
    causes += [
        not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES
    ]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        message = "may not use ReadWriteOncePod with other access modes"
        causes.append(forbidden(path, message))
    return causes


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = check_access_modes(spec.get("accessModes") or [], "spec.accessModes")
    capacity = spec.get("capacity") or {}
    if not capacity:
        causes.append(required("spec.capacity"))
    elif set(capacity) != {"storage"}:
        causes.append(not_supported("spec.capacity", sorted(capacity), ("storage",)))
    for name, amount in capacity.items():
        causes += check_positive(amount, f"spec.capacity[{name}]")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy not in _RECLAIM:
        causes.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM))
    sources = sorted(_SOURCES & {key for key, value in spec.items() if value is not None})
    if not sources:
        causes.append(required("spec", "must specify a volume type"))
    causes += [
        forbidden(f"spec.{name}", "may not specify more than 1 volume type") for name in sources[1:]
    ]
    before = (old or {}).get("spec") or {}
    if old is not None and any(spec.get(name) != before.get(name) for name in _SOURCES):
        message = "spec.persistentvolumesource is immutable after creation"
        causes.append(forbidden("spec.persistentvolumesource", message))
    return causes


def access_modes(modes: list[str]) -> str:
    """`RWO,ROX`."""
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in modes)


def _claim(obj: Object, now: float) -> str:
    found = (obj.get("spec") or {}).get("claimRef")
    return f"{found.get('namespace')}/{found.get('name')}" if found else ""


PERSISTENT_VOLUMES = Kind(
    plural="persistentvolumes",
    kind="PersistentVolume",
    namespaced=False,
    short_names=("pv",),
    schema="io.k8s.api.core.v1.PersistentVolume",
    subresources=frozenset(("status",)),
    default=_default,
    prepare=_prepare,
    validate=_validate,
    columns=(
        NAME,
        Column("Capacity", at("spec", "capacity", "storage")),
        Column(
            "Access Modes",
            lambda obj, now: access_modes((obj.get("spec") or {}).get("accessModes") or []),
        ),
        Column("Reclaim Policy", at("spec", "persistentVolumeReclaimPolicy")),
        Column("Status", at("status", "phase")),
        Column("Claim", _claim),
        Column("StorageClass", at("spec", "storageClassName")),
        Column("VolumeAttributesClass", at("spec", "volumeAttributesClassName", default="<unset>")),
        Column("Reason", at("status", "reason")),
        AGE,
        Column("VolumeMode", at("spec", "volumeMode", default="<unset>"), priority=1),
    ),
)
