"""A new volume for a claim that nothing fits: a directory of this machine. Pure.

https://kubernetes.io/docs/concepts/storage/dynamic-provisioning/
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import name, namespace, uid

PROVISIONER = "netemu/host-path"
BY_HAND = "kubernetes.io/no-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


def claim_reference(claim: Object) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace(claim),
        "name": name(claim),
        "uid": uid(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    }


def may_provision(claim: Object, class_name: str, storage_class: Object | None) -> bool:
    """An empty class asks for a volume that somebody made; so does a named volume.

    A class that nobody has made is taken for ours: a manifest from elsewhere shall come up.
    """
    if class_name == "" or claim["spec"].get("volumeName"):
        return False
    return (storage_class or {}).get("provisioner") != BY_HAND


def desired_volume(
    claim: Object, root: PurePath, class_name: str, storage_class: Object | None
) -> Object:
    """Named after the claim's uid, so that it is never made twice; below `root`."""
    policy = (storage_class or {}).get("reclaimPolicy") or "Delete"
    named = f"pvc-{uid(claim)}"
    directory = root / f"{named}_{namespace(claim)}_{name(claim)}"
    spec = claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": named, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode") or "Filesystem",
            "storageClassName": class_name,
            "persistentVolumeReclaimPolicy": policy,
            "claimRef": claim_reference(claim),
            "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"},
        },
    }


def is_ours(volume: Object) -> bool:
    marks = volume["metadata"].get("annotations") or {}
    return bool(marks.get(PROVISIONED_BY) == PROVISIONER)
