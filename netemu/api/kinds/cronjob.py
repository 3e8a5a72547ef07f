"""CronJob: a Job each time its schedule is due.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

import zoneinfo
from typing import Any

from netemu.api import meta
from netemu.api.cells import AGE, NAME, NONE, at, selector
from netemu.api.duration import since
from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.kinds.deployment import prepare_empty
from netemu.api.objectrules import not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.jobs import check_job_spec

_POLICIES = ("Allow", "Forbid", "Replace")
MAX_NAME = 52
"""A Job's name is the CronJob's and eleven characters more."""


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for key, value in (
        ("concurrencyPolicy", "Allow"),
        ("suspend", False),
        ("successfulJobsHistoryLimit", 3),
        ("failedJobsHistoryLimit", 1),
    ):
        if spec.get(key) in (None, ""):
            spec[key] = value
    job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
    default_template(job.setdefault("template", {}))  # the rest when a Job is made of it


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    if old is None and len(meta.name(obj)) > MAX_NAME:
        message = f"must be no more than {MAX_NAME} characters"
        causes.append(invalid("metadata.name", meta.name(obj), message))
    causes += _check_schedule(spec.get("schedule") or "")
    zone = spec.get("timeZone")
    if zone is not None:
        causes += _check_zone(zone)
    causes += not_negative(
        spec,
        "spec",
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    )
    policy = spec.get("concurrencyPolicy")
    if policy not in _POLICIES:
        causes.append(not_supported("spec.concurrencyPolicy", policy, _POLICIES))
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    if job.get("manualSelector"):
        where = "spec.jobTemplate.spec.manualSelector"
        causes.append(not_supported(where, True, ("nil", "false")))
    return causes + check_job_spec(job, "spec.jobTemplate.spec")


def _check_schedule(schedule: str) -> list[Cause]:
    if not schedule:
        return [required("spec.schedule")]
    if "TZ=" in schedule:
        message = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        return [invalid("spec.schedule", schedule, message)]
    if schedule.startswith("@every "):
        return []
    fields = schedule.split()
    if not schedule.startswith("@") and len(fields) != 5:
        message = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
        return [invalid("spec.schedule", schedule, message)]
    import croniter  # 15 ms that only a cluster with CronJobs pays

    if not croniter.croniter.is_valid(schedule):
        return [invalid("spec.schedule", schedule, "failed to parse the schedule")]
    return []


def _check_zone(zone: str) -> list[Cause]:
    if zone.lower() == "local":
        return [
            invalid(
                "spec.timeZone",
                zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            )
        ]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [invalid("spec.timeZone", zone, f"unknown time zone {zone}")]
    return []


def _job(obj: Object) -> dict[str, Any]:
    template = (obj.get("spec") or {}).get("jobTemplate") or {}
    found: dict[str, Any] = template.get("spec") or {}
    return found


def _joined(obj: Object, key: str) -> str:
    containers = ((_job(obj).get("template") or {}).get("spec") or {}).get("containers") or ()
    return ",".join(container.get(key, "") for container in containers)


def _last(obj: Object, now: float) -> str:
    stamp = (obj.get("status") or {}).get("lastScheduleTime")
    return since(stamp, now) if stamp else NONE


def _suspended(obj: Object, now: float) -> str:
    value = (obj.get("spec") or {}).get("suspend")
    return "<unset>" if value is None else str(bool(value))


CRON_JOBS = Kind(
    group="batch",
    plural="cronjobs",
    kind="CronJob",
    short_names=("cj",),
    categories=("all",),
    schema="io.k8s.api.batch.v1.CronJob",
    subresources=frozenset(("status",)),
    has_generation=True,
    default=_default,
    prepare=prepare_empty,
    validate=_validate,
    columns=(
        NAME,
        Column("Schedule", at("spec", "schedule")),
        Column("Timezone", at("spec", "timeZone", default=NONE)),
        Column("Suspend", _suspended, type="boolean"),
        Column(
            "Active",
            lambda obj, now: len((obj.get("status") or {}).get("active") or ()),
            type="integer",
        ),
        Column("Last Schedule", _last),
        AGE,
        Column("Containers", lambda obj, now: _joined(obj, "name"), priority=1),
        Column("Images", lambda obj, now: _joined(obj, "image"), priority=1),
        Column("Selector", lambda obj, now: selector(_job(obj).get("selector")), priority=1),
    ),
)
