"""ControllerRevision: a template as a StatefulSet or DaemonSet once had it.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/controller-revision-v1/
"""

from __future__ import annotations

from netemu.api import meta
from netemu.api.cells import AGE, NAME, NONE, integer
from netemu.api.invalid import invalid, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import IMMUTABLE


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    causes: list[Cause] = []
    if obj.get("data") is None:
        causes.append(required("data", "data is mandatory"))
    elif old is not None and obj["data"] != old.get("data"):
        causes.append(invalid("data", obj["data"], IMMUTABLE))
    message = "must be greater than or equal to 0"
    if (obj.get("revision") or 0) < 0:
        causes.append(invalid("revision", obj["revision"], message))
    return causes


def _controller(obj: Object, now: float) -> str:
    owner = meta.controller_of(obj)
    if owner is None:
        return NONE
    group = str(owner.get("apiVersion") or "").rpartition("/")[0]
    kind = str(owner.get("kind") or "").lower() + (f".{group}" if group else "")
    return f"{kind}/{owner.get('name') or ''}"


CONTROLLER_REVISIONS = Kind(
    group="apps",
    plural="controllerrevisions",
    kind="ControllerRevision",
    schema="io.k8s.api.apps.v1.ControllerRevision",
    validate=_validate,
    columns=(
        NAME,
        Column("Controller", _controller),
        integer("Revision", "revision"),
        AGE,
    ),
)
