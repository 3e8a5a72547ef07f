"""ReplicationController: a ReplicaSet's older form, with a plain map as its selector.

https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/
"""

from __future__ import annotations

from netemu.api import cells
from netemu.api.cells import AGE, CONTAINERS, IMAGES, NAME, integer
from netemu.api.invalid import invalid, required
from netemu.api.kind import Cause, Column, Kind, Object, ScalePaths
from netemu.api.kinds.replicaset import prepare_count
from netemu.api.labelrules import check_labels
from netemu.api.objectrules import not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.template import (
    MISMATCH,
    check_always_restarts,
    check_status_counts,
    check_template,
)


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    template = spec.get("template")
    if template is None:
        return
    default_template(template)
    labels = (template.get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = not_negative(spec, "spec", "replicas", "minReadySeconds")
    selector, template = spec.get("selector") or {}, spec.get("template")
    if not selector:
        causes.append(required("spec.selector"))
    causes += check_labels(selector, "spec.selector")
    if template is None:
        return [*causes, required("spec.template")]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not selector.items() <= labels.items():
        causes.append(invalid("spec.template.metadata.labels", labels, MISMATCH))
    causes += check_template(template, "spec.template")
    return causes + check_always_restarts(template, "ReplicationController")


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    return check_status_counts(obj.get("status") or {})


REPLICATION_CONTROLLERS = Kind(
    plural="replicationcontrollers",
    kind="ReplicationController",
    short_names=("rc",),
    categories=("all",),
    storage="controllers",
    schema="io.k8s.api.core.v1.ReplicationController",
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
        Column(
            "Selector",
            lambda obj, now: cells.labels((obj.get("spec") or {}).get("selector")),
            priority=1,
        ),
    ),
)
