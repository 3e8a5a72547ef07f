"""A new volume for a claim that nothing fits: a directory of this machine. Pure."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import name, namespace, uid
from netemu.controllers.volumes.match import class_of

PROVISIONER = "netemu/host-path"
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


def may_provision(claim: Object) -> bool:
    """An empty class asks for a volume that somebody made; so does a named volume."""
    return class_of(claim) != "" and not claim["spec"].get("volumeName")


def desired_volume(claim: Object, root: PurePath) -> Object:
    """Named after the claim's uid, so that it is never made twice; below `root`."""
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
            "storageClassName": class_of(claim),
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": claim_reference(claim),
            "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"},
        },
    }


def is_ours(volume: Object) -> bool:
    marks = volume["metadata"].get("annotations") or {}
    return bool(marks.get(PROVISIONED_BY) == PROVISIONER)
