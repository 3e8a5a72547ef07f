"""What a Job does next, and what its status says. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/job/job_controller.go
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import is_deleting, name, seconds_of, timestamp
from netemu.controllers import podstate
from netemu.controllers.conditions import Condition, find, with_condition
from netemu.controllers.job import indexes
from netemu.controllers.job.counting import Counts
from netemu.controllers.replicas import BURST

_FIRST_BACKOFF, _LAST_BACKOFF = 10.0, 600.0
NO_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do in this look."""

    create: int = 0
    delete: tuple[Object, ...] = ()
    forgive: bool = False
    """Those in `delete` did no wrong: they don't count as failed."""
    conditions: tuple[Condition, ...] = ()
    finished: bool = False
    again: float | None = None


def is_finished(job: Object) -> str:
    """`Complete` or `Failed`; empty while it runs."""
    for found in (job.get("status") or {}).get("conditions") or ():
        if found["type"] in ("Complete", "Failed") and found["status"] == "True":
            return str(found["type"])
    return ""


def ttl_left(job: Object, now: float) -> float | None:
    """Seconds until a finished Job is deleted; None when it is kept."""
    ttl, ended = job["spec"].get("ttlSecondsAfterFinished"), is_finished(job)
    if ttl is None or not ended:
        return None
    done = podstate.condition(job, ended)
    return seconds_of(done["lastTransitionTime"]) + float(ttl) - now if done else None


def failure(job: Object, pods: Sequence[Object], counts: Counts, now: float) -> tuple[str, str]:
    """(reason, message) when the Job has failed."""
    spec, status = job["spec"], job.get("status") or {}
    if counts.fail_job:
        return "PodFailurePolicy", counts.fail_job
    limit = spec.get("backoffLimit")
    limit = 6 if limit is None else int(limit)
    if counts.all_failed > limit or _restarted_too_often(spec, pods, limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    seconds, started = spec.get("activeDeadlineSeconds"), status.get("startTime")
    if seconds is None or not started or spec.get("suspend"):
        return "", ""
    if now - seconds_of(started) >= float(seconds):
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return "", ""


def _restarted_too_often(spec: Any, pods: Sequence[Object], limit: int) -> bool:
    """With restartPolicy OnFailure the kubelet's restarts count instead of failed pods."""
    if (spec["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    running = [pod for pod in pods if podstate.phase(pod) in ("Running", "Pending")]
    total = sum(
        int(found.get("restartCount") or 0)
        for pod in running
        for found in (pod.get("status") or {}).get("containerStatuses") or ()
    )
    return total > 0 if limit == 0 else total >= limit


def is_complete(job: Object, counts: Counts, active: int) -> bool:
    completions = job["spec"].get("completions")
    if completions is None:
        return counts.all_succeeded > 0 and active == 0
    done = len(counts.completed) if indexes.is_indexed(job) else counts.all_succeeded
    return done >= int(completions)


def wanted_active(job: Object, counts: Counts, active: int) -> int:
    parallelism = job["spec"].get("parallelism")
    parallelism = 1 if parallelism is None else int(parallelism)
    completions = job["spec"].get("completions")
    if completions is None:
        # A work queue: once one pod has succeeded, the others finish and none is added.
        return active if counts.all_succeeded else parallelism
    done = len(counts.completed) if indexes.is_indexed(job) else counts.all_succeeded
    return min(parallelism, int(completions) - done)


def backoff_left(pods: Sequence[Object], now: float) -> float:
    """Seconds before a failed pod may be replaced: 10, 20, 40, … since the last failure."""
    ends = [(_ended(pod), podstate.phase(pod)) for pod in pods if podstate.is_finished(pod)]
    last_success = max((at for at, phase in ends if phase == "Succeeded"), default=0.0)
    failures = [at for at, phase in ends if phase == "Failed" and at > last_success]
    if not failures:
        return 0.0
    delay: float = min(_FIRST_BACKOFF * 2 ** min(len(failures) - 1, 20), _LAST_BACKOFF)
    return max(0.0, max(failures) + delay - now)


def _ended(pod: Object) -> float:
    status = pod.get("status") or {}
    stamps = [
        found["state"]["terminated"]["finishedAt"]
        for found in status.get("containerStatuses") or ()
        if ((found.get("state") or {}).get("terminated") or {}).get("finishedAt")
    ]
    if not stamps:
        ready = podstate.condition(pod, "Ready") or {}
        stamps = [ready.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")]
    return max((seconds_of(stamp) for stamp in stamps if stamp), default=0.0)


def plan(job: Object, pods: Sequence[Object], counts: Counts, now: float) -> Step:
    """The next step of a Job that is not finished yet."""
    active = [pod for pod in pods if podstate.is_active(pod)]
    leaving = sum(is_deleting(pod) and not podstate.is_finished(pod) for pod in pods)
    uncounted = len(counts.uncounted_succeeded) + len(counts.uncounted_failed)
    settled = not (active or leaving or uncounted)
    reason, message = _verdict(job, pods, counts, now)
    if reason:
        return _fail(job, active, settled, reason, message, now)
    conditions = (job.get("status") or {}).get("conditions") or ()
    if is_complete(job, counts, len(active)):
        return _complete(job, active, settled, now)
    if job["spec"].get("suspend"):
        told = _set(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now)
        return Step(delete=tuple(active), forgive=True, conditions=tuple(told))
    if find(conditions, "Suspended"):
        conditions = _set(conditions, "Suspended", "False", "JobResumed", "Job resumed", now)
    wanted = max(0, wanted_active(job, counts, len(active)))
    if len(active) > wanted:
        surplus = sorted(active, key=_least_useful)[: len(active) - wanted]
        return Step(delete=tuple(surplus), forgive=True, conditions=tuple(conditions))
    missing = wanted - len(active) - (leaving if _waits_for_leaving(job) else 0)
    wait = backoff_left(pods, now) if missing > 0 else 0.0
    return Step(
        create=0 if wait else min(max(0, missing), BURST),  # the new pods wake us for more
        conditions=tuple(conditions),
        again=_sooner(wait or None, _deadline_left(job, now)),
    )


def _waits_for_leaving(job: Object) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def _least_useful(pod: Object) -> tuple[Any, ...]:
    running = podstate.phase(pod) == "Running"
    return bool(pod["spec"].get("nodeName")), running, podstate.is_ready(pod), name(pod)


def _verdict(job: Object, pods: Sequence[Object], counts: Counts, now: float) -> tuple[str, str]:
    told = find((job.get("status") or {}).get("conditions") or (), "FailureTarget")
    if told is not None and told["status"] == "True":
        return told["reason"], told["message"]
    return failure(job, pods, counts, now)


def _fail(
    job: Object, active: Sequence[Object], settled: bool, reason: str, message: str, now: float
) -> Step:
    """First say that it will fail and stop the pods; it has failed when all are counted."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    conditions = _set(conditions, "FailureTarget", "True", reason, message, now)
    if settled:
        conditions = _set(conditions, "Failed", "True", reason, message, now)
    return Step(delete=tuple(active), conditions=tuple(conditions), finished=settled)


def _complete(job: Object, active: Sequence[Object], settled: bool, now: float) -> Step:
    reason, text = "CompletionsReached", "Reached expected number of succeeded pods"
    conditions = (job.get("status") or {}).get("conditions") or ()
    conditions = _set(conditions, "SuccessCriteriaMet", "True", reason, text, now)
    if settled:
        conditions = _set(conditions, "Complete", "True", reason, text, now)
    return Step(delete=tuple(active), conditions=tuple(conditions), finished=settled)


def _set(
    conditions: Any, type_: str, status: str, reason: str, message: str, now: float
) -> list[Condition]:
    stamp = timestamp(now)
    told = with_condition(conditions, type_, status, reason, message, stamp)
    return [{**one, "lastProbeTime": stamp} if "lastProbeTime" not in one else one for one in told]


def _deadline_left(job: Object, now: float) -> float | None:
    seconds = job["spec"].get("activeDeadlineSeconds")
    started = (job.get("status") or {}).get("startTime")
    if seconds is None or not started:
        return None if seconds is None else float(seconds)
    return max(0.0, seconds_of(started) + float(seconds) - now)


def _sooner(left: float | None, right: float | None) -> float | None:
    return min((found for found in (left, right) if found is not None), default=None)


def desired_status(
    job: Object, pods: Sequence[Object], counts: Counts, step: Step, now: float
) -> dict[str, Any]:
    old = job.get("status") or {}
    active = [pod for pod in pods if podstate.is_active(pod) and pod not in step.delete]
    waiting: dict[str, Any] = {}
    if counts.uncounted_succeeded:
        waiting["succeeded"] = list(counts.uncounted_succeeded)
    if counts.uncounted_failed:
        waiting["failed"] = list(counts.uncounted_failed)
    status: dict[str, Any] = {
        "ready": sum(podstate.is_ready(pod) for pod in active),
        "terminating": sum(is_deleting(pod) and not podstate.is_finished(pod) for pod in pods),
        "uncountedTerminatedPods": waiting,
    }
    numbers = {"active": len(active), "succeeded": counts.succeeded, "failed": counts.failed}
    status |= {field: number for field, number in numbers.items() if number}
    if step.conditions:
        status["conditions"] = list(step.conditions)
    if not job["spec"].get("suspend"):
        resumed = (find(old.get("conditions") or (), "Suspended") or {}).get("status") == "True"
        kept = None if resumed else old.get("startTime")
        status["startTime"] = kept or timestamp(now)
    if indexes.is_indexed(job) and counts.completed:
        status["completedIndexes"] = indexes.render(counts.completed)
    if step.finished and find(list(step.conditions), "Complete"):
        status["completionTime"] = timestamp(now)
    return status
