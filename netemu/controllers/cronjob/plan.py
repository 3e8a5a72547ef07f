"""What a CronJob does now: start a Job, wait, or clear up. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/cronjob/cronjob_controllerv2.go
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import copy, name, namespace, owner_reference, seconds_of, timestamp, uid
from netemu.controllers.cronjob.schedule import Schedule
from netemu.controllers.job.plan import is_finished

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
Told = tuple[str, str, str]
"""(type, reason, message) of an event."""


@dataclass(slots=True, kw_only=True)
class Step:
    start_at: float | None = None
    """The scheduled time of the Job to create."""
    replace: list[Object] = field(default_factory=list)
    """Jobs that make way for it."""
    again: float | None = None
    events: list[Told] = field(default_factory=list)


def plan(cron: Object, schedule: Schedule, active: Sequence[Object], now: float) -> Step:
    """`active`: its Jobs that have not finished."""
    spec, status = cron["spec"], cron.get("status") or {}
    step = Step(again=max(0.0, schedule.after(now) - now))
    if spec.get("suspend"):
        return Step()
    last = status.get("lastScheduleTime")
    earliest = seconds_of(last or cron["metadata"]["creationTimestamp"])
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - float(deadline))
    moment, many = schedule.latest(earliest, now)
    if many:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or "
        step.events.append(("Warning", "TooManyMissedTimes", f"{text}check clock skew"))
    if moment is None or (last and seconds_of(last) == moment):
        return step
    policy = spec.get("concurrencyPolicy") or "Allow"
    if policy == "Forbid" and active:
        text = "Not starting job because prior execution is running and concurrency policy is"
        step.events.append(("Normal", "JobAlreadyActive", f"{text} Forbid"))
        return step
    if policy == "Replace":
        step.replace = list(active)
    step.start_at = moment
    return step


def job_name(cron: Object, moment: float) -> str:
    """The same for the same scheduled time: nothing is started twice."""
    return f"{name(cron)[:52]}-{int(moment) // 60}"


def desired_job(cron: Object, moment: float) -> Object:
    template = copy(cron["spec"]["jobTemplate"])
    source = template.get("metadata") or {}
    stamp = timestamp(moment)
    meta: dict[str, Any] = {
        "name": job_name(cron, moment),
        "namespace": namespace(cron),
        "annotations": {**(source.get("annotations") or {}), SCHEDULED_AT: stamp},
        "ownerReferences": [owner_reference(cron, kinds.CRON_JOBS)],
    }
    if source.get("labels"):
        meta["labels"] = source["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]}


def plan_history(cron: Object, jobs: Sequence[Object]) -> list[Object]:
    """Finished Jobs beyond the history limits, oldest first."""
    spec, surplus = cron["spec"], []
    for ended, field_, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = spec.get(field_)
        kept = default if limit is None else int(limit)
        done = sorted((job for job in jobs if is_finished(job) == ended), key=_age)
        surplus += done[: max(0, len(done) - kept)]
    return surplus


def _age(job: Object) -> tuple[str, str]:
    started = (job.get("status") or {}).get("startTime")
    return started or job["metadata"].get("creationTimestamp") or "", name(job)


def reference(job: Object) -> dict[str, Any]:
    """An entry of status.active."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name(job),
        "namespace": namespace(job),
        "uid": uid(job),
        "resourceVersion": job["metadata"]["resourceVersion"],
    }


def desired_status(
    cron: Object, active: Sequence[Object], jobs: Sequence[Object], started: float | None
) -> dict[str, Any]:
    old = cron.get("status") or {}
    known = {entry["uid"]: entry for entry in old.get("active") or ()}
    status: dict[str, Any] = {
        field_: old[field_]
        for field_ in ("lastScheduleTime", "lastSuccessfulTime")
        if field_ in old
    }
    if active:
        status["active"] = [known.get(uid(job)) or reference(job) for job in active]
    if started is not None:
        status["lastScheduleTime"] = timestamp(started)
    done = [
        (job.get("status") or {}).get("completionTime")
        for job in jobs
        if is_finished(job) == "Complete"
    ]
    latest = max((stamp for stamp in done if stamp), default="")
    if latest > status.get("lastSuccessfulTime", ""):
        status["lastSuccessfulTime"] = latest
    return status
