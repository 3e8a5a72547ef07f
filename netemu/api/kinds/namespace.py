"""Namespace: it goes when all that is in it has gone.

https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
"""

from __future__ import annotations

from collections.abc import Mapping

from netemu.api.cells import AGE, NAME, at
from netemu.api.invalid import invalid
from netemu.api.kind import Cause, Column, Kind, Object

FINALIZER = "kubernetes"
"""spec.finalizers holds it until all that the namespace contained is gone."""
NAME_LABEL = "kubernetes.io/metadata.name"


def _default(obj: Object) -> None:
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        labels = metadata["labels"] = dict(metadata.get("labels") or {})
        labels[NAME_LABEL] = metadata["name"]


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"phase": "Active"}
        spec = obj["spec"] = dict(obj.get("spec") or {})
        finalizers = list(spec.get("finalizers") or ())
        spec["finalizers"] = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
    else:
        obj["spec"] = old.get("spec") or {}


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    phase = (obj.get("status") or {}).get("phase")
    deleting = bool((obj.get("metadata") or {}).get("deletionTimestamp"))
    if deleting and phase != "Terminating":
        message = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        return [invalid("status.Phase", phase, message)]
    if not deleting and phase != "Active":
        message = "may only be 'Active' if `deletionTimestamp` is empty"
        return [invalid("status.Phase", phase, message)]
    return []


def _fields(obj: Object) -> Mapping[str, str]:
    return {"status.phase": (obj.get("status") or {}).get("phase") or ""}


NAMESPACES = Kind(
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    short_names=("ns",),
    schema="io.k8s.api.core.v1.Namespace",
    name_rule="dns1123-label",
    subresources=frozenset(("finalize", "status")),
    verbs=frozenset(("create", "delete", "get", "list", "patch", "update", "watch")),
    default=_default,
    prepare=_prepare,
    validate_status=_validate_status,
    fields=_fields,
    columns=(
        NAME,
        Column(
            "Status",
            at("status", "phase"),
            description="The status of the namespace",
        ),
        AGE,
    ),
)
