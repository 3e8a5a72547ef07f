"""Job: pods that run until enough of them have succeeded.

https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from netemu.api import meta, selectors
from netemu.api.cells import AGE, CONTAINERS, IMAGES, NAME, SELECTOR
from netemu.api.duration import human
from netemu.api.invalid import invalid, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.labelrules import check_label_selector
from netemu.api.objectrules import immutable, not_negative
from netemu.api.podspec.jobs import check_job_spec, default_job_spec
from netemu.api.podspec.template import MISMATCH

_UID = "batch.kubernetes.io/controller-uid"
_NAME = "batch.kubernetes.io/job-name"


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_job_spec(spec)
    labels = (spec["template"].get("metadata") or {}).get("labels")
    metadata = obj.setdefault("metadata", {})
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def _prepare(obj: Object, old: Object | None) -> None:
    """The selector is made from the Job's uid, unless its author insists on one."""
    spec = obj["spec"]
    if old is None:
        obj["status"] = {}
    if old is not None or spec.get("manualSelector"):
        return
    name, uid = meta.name(obj), meta.uid(obj)
    template = spec["template"]
    metadata = template["metadata"] = dict(template.get("metadata") or {})
    generated = {_UID: uid, "controller-uid": uid, _NAME: name, "job-name": name}
    metadata["labels"] = {**(metadata.get("labels") or {}), **generated}
    if not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(metadata["labels"])
    selector = dict(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), _UID: uid}
    spec["selector"] = selector


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = check_job_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        causes.append(required("spec.selector"))
    else:
        causes += check_label_selector(selector, "spec.selector")
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        if not causes and not selectors.from_label_selector(selector).matches(labels):
            causes.append(invalid("spec.template.metadata.labels", labels, MISMATCH))
    if old is None:
        return causes
    fixed = ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"]
    if not _may_change_template(old):
        fixed.append("template")
    if not _scales_indexed(spec, old):
        fixed.append("completions")
    return causes + immutable(obj, old, *fixed)


def _may_change_template(old: Object) -> bool:
    """A suspended Job that never started may still change where its pods may run (KEP-2926)."""
    before = old.get("spec") or {}
    return bool(before.get("suspend")) and not (old.get("status") or {}).get("startTime")


def _scales_indexed(spec: Object, old: Object) -> bool:
    """An Indexed Job may change its completions together with its parallelism (KEP-3715)."""
    elastic = spec.get("completionMode") == "Indexed"
    return elastic and spec.get("completions") == spec.get("parallelism")


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    status = obj.get("status") or {}
    return not_negative(status, "status", "active", "succeeded", "failed", "ready")


def _condition(obj: Object, kind: str) -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in (obj.get("status") or {}).get("conditions") or ()
    )


def status(obj: Object, now: float = 0) -> str:
    """`Complete`, `Failed`, `Suspended`, `SuccessCriteriaMet`, `FailureTarget`, `Running`."""
    for kind in ("Complete", "Failed"):
        if _condition(obj, kind):
            return kind
    if meta.is_deleting(obj):
        return "Terminating"
    for kind, shown in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if _condition(obj, kind):
            return shown
    return "Running"


def completions(obj: Object, now: float = 0) -> str:
    """`1/3`; without a fixed number `1/1`, or `1/1 of 5` in parallel."""
    spec = obj.get("spec") or {}
    done = (obj.get("status") or {}).get("succeeded") or 0
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallel = spec.get("parallelism") or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(obj: Object, now: float) -> str:
    found = obj.get("status") or {}
    if not found.get("startTime"):
        return ""
    end = found.get("completionTime")
    finished = meta.seconds_of(end) if end else now
    return human(finished - meta.seconds_of(found["startTime"]))


def _row_conditions(obj: Object) -> list[dict[str, str]]:
    return [
        {
            "type": "Completed",
            "status": "True",
            "reason": condition.get("reason") or "",
            "message": condition.get("message") or "",
        }
        for condition in (obj.get("status") or {}).get("conditions") or ()
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
    ]


def _successful(obj: Object) -> dict[str, str]:
    return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


JOBS = Kind(
    group="batch",
    plural="jobs",
    kind="Job",
    categories=("all",),
    schema="io.k8s.api.batch.v1.Job",
    subresources=frozenset(("status",)),
    has_generation=True,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    fields=_successful,
    row_conditions=_row_conditions,
    columns=(
        NAME,
        Column("Status", status, description="Status of the job."),
        Column("Completions", completions),
        Column("Duration", _duration, description="Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
