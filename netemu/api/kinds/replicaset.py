"""ReplicaSet: so many pods of one template.

https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

from netemu.api.cells import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, integer
from netemu.api.kind import Cause, Kind, Object, ScalePaths
from netemu.api.objectrules import immutable, not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.template import check_status_counts, check_workload


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    default_template(spec.setdefault("template", {}))


def prepare_count(obj: Object, old: Object | None) -> None:
    """A new workload has no pods yet, and says so: clients count on the number."""
    if old is None:
        obj["status"] = {"replicas": 0}


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = check_workload(spec, "ReplicaSet")
    causes += not_negative(spec, "spec", "replicas", "minReadySeconds")
    return causes + (immutable(obj, old, "selector") if old is not None else [])


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    return check_status_counts(obj.get("status") or {})


REPLICA_SETS = Kind(
    group="apps",
    plural="replicasets",
    kind="ReplicaSet",
    short_names=("rs",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.ReplicaSet",
    subresources=frozenset(("scale", "status")),
    scale=ScalePaths(),
    has_generation=True,
    default=_default,
    prepare=prepare_count,
    validate=_validate,
    validate_status=_validate_status,
    fields=lambda obj: {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)},
    columns=(
        NAME,
        integer("Desired", "spec", "replicas"),
        integer("Current", "status", "replicas"),
        integer("Ready", "status", "readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
