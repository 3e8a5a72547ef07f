"""StorageClass, CSIDriver, CSINode, VolumeAttachment: kept so that clients find them.

netemu has no storage of its own; claims stay pending unless somebody binds them.
https://kubernetes.io/docs/concepts/storage/storage-classes/
"""

from __future__ import annotations

from netemu.api import meta
from netemu.api.cells import AGE, NAME, at
from netemu.api.invalid import forbidden, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import immutable

GROUP = "storage.k8s.io"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _default_class(obj: Object) -> None:
    if obj.get("reclaimPolicy") is None:
        obj["reclaimPolicy"] = "Delete"
    if obj.get("volumeBindingMode") is None:
        obj["volumeBindingMode"] = "Immediate"


def _validate_class(obj: Object, old: Object | None) -> list[Cause]:
    causes = [] if obj.get("provisioner") else [required("provisioner")]
    policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
    if policy not in ("Delete", "Retain"):
        causes.append(not_supported("reclaimPolicy", policy, ("Delete", "Retain")))
    modes = ("Immediate", "WaitForFirstConsumer")
    if mode not in modes:
        causes.append(not_supported("volumeBindingMode", mode, modes))
    if old is not None:
        causes += [
            forbidden(key, f"updates to {key} are forbidden.")
            for key in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
            if obj.get(key) != old.get(key)
        ]
    return causes


def _class_name(obj: Object, now: float) -> str:
    default = meta.annotations(obj).get(_DEFAULT_CLASS) == "true"
    return f"{meta.name(obj)} (default)" if default else meta.name(obj)


def _modes(obj: Object, now: float) -> str:
    return ",".join((obj.get("spec") or {}).get("volumeLifecycleModes") or ()) or "<none>"


def _default_driver(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for key, value in (
        ("attachRequired", True),
        ("podInfoOnMount", False),
        ("storageCapacity", False),
        ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
        ("requiresRepublish", False),
        ("seLinuxMount", False),
    ):
        if spec.get(key) is None:
            spec[key] = value
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _validate_attachment(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = [required(f"spec.{key}") for key in ("attacher", "nodeName") if not spec.get(key)]
    return causes + (immutable(obj, old, *sorted(spec)) if old is not None else [])


STORAGE_CLASSES = Kind(
    group=GROUP,
    plural="storageclasses",
    kind="StorageClass",
    namespaced=False,
    short_names=("sc",),
    schema="io.k8s.api.storage.v1.StorageClass",
    default=_default_class,
    validate=_validate_class,
    columns=(
        Column(NAME.name, _class_name, format="name", description=NAME.description),
        Column("Provisioner", at("provisioner")),
        Column("ReclaimPolicy", at("reclaimPolicy", default="Delete")),
        Column("VolumeBindingMode", at("volumeBindingMode", default="Immediate")),
        Column("AllowVolumeExpansion", at("allowVolumeExpansion", default=False)),
        AGE,
    ),
)
CSI_DRIVERS = Kind(
    group=GROUP,
    plural="csidrivers",
    kind="CSIDriver",
    namespaced=False,
    schema="io.k8s.api.storage.v1.CSIDriver",
    unconditional_update=False,
    default=_default_driver,
    columns=(
        NAME,
        Column("AttachRequired", at("spec", "attachRequired"), type="boolean"),
        Column("PodInfoOnMount", at("spec", "podInfoOnMount"), type="boolean"),
        Column("StorageCapacity", at("spec", "storageCapacity"), type="boolean"),
        Column("Modes", _modes),
        AGE,
    ),
)
CSI_NODES = Kind(
    group=GROUP,
    plural="csinodes",
    kind="CSINode",
    namespaced=False,
    schema="io.k8s.api.storage.v1.CSINode",
    unconditional_update=False,
    columns=(
        NAME,
        Column(
            "Drivers",
            lambda obj, now: len((obj.get("spec") or {}).get("drivers") or ()),
            type="integer",
        ),
        AGE,
    ),
)
VOLUME_ATTACHMENTS = Kind(
    group=GROUP,
    plural="volumeattachments",
    kind="VolumeAttachment",
    namespaced=False,
    schema="io.k8s.api.storage.v1.VolumeAttachment",
    unconditional_update=False,
    subresources=frozenset(("status",)),
    validate=_validate_attachment,
    columns=(
        NAME,
        Column("Attacher", at("spec", "attacher")),
        Column("PV", at("spec", "source", "persistentVolumeName")),
        Column("Node", at("spec", "nodeName")),
        Column("Attached", at("status", "attached", default=False), type="boolean"),
        AGE,
    ),
)
