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
from netemu.controllers.job import indexes, perindex
from netemu.controllers.job import success as success_policy
from netemu.controllers.job.counting import Counts
from netemu.controllers.job.endings import backoff_left, delay_left, ended, replaces_only_failed
from netemu.controllers.replicas import BURST


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do in this look."""

    create: int = 0
    indexes: tuple[int, ...] = ()
    """Of an Indexed Job, for each pod in `create`."""
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
    overdue = seconds is not None and started and now - seconds_of(started) >= float(seconds)
    if overdue and not spec.get("suspend"):
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return _failed_indexes(spec, counts)


def _failed_indexes(spec: Any, counts: Counts) -> tuple[str, str]:
    most, failed = spec.get("maxFailedIndexes"), len(counts.failed_indexes)
    if most is not None and failed > int(most):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return "MaxFailedIndexesExceeded", text
    if failed and failed + len(counts.completed) >= int(spec["completions"]):
        return "FailedIndexes", "Job has failed indexes"
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


def success(job: Object, counts: Counts, active: int) -> tuple[str, str]:
    """(reason, message) when the Job has succeeded."""
    number = success_policy.matching_rule(job, counts.completed)
    if number is not None:
        return "SuccessPolicy", f"Matched rules at index {number}"
    reached = "CompletionsReached", "Reached expected number of succeeded pods"
    completions = job["spec"].get("completions")
    if completions is None:
        return reached if counts.all_succeeded and not active else ("", "")
    done = len(counts.completed) if indexes.is_indexed(job) else counts.all_succeeded
    return reached if done >= int(completions) else ("", "")


def wanted_active(job: Object, counts: Counts, active: int) -> int:
    parallelism = job["spec"].get("parallelism")
    parallelism = 1 if parallelism is None else int(parallelism)
    completions = job["spec"].get("completions")
    if completions is None:
        # A work queue: once one pod has succeeded, the others finish and none is added.
        return active if counts.all_succeeded else parallelism
    done = counts.all_succeeded
    if indexes.is_indexed(job):
        done = len(counts.completed) + len(counts.failed_indexes)
    return min(parallelism, int(completions) - done)


def plan(job: Object, pods: Sequence[Object], counts: Counts, now: float) -> Step:
    """The next step of a Job that is not finished yet."""
    active = [pod for pod in pods if podstate.is_active(pod)]
    leaving = sum(is_deleting(pod) and not podstate.is_finished(pod) for pod in pods)
    uncounted = len(counts.uncounted_succeeded) + len(counts.uncounted_failed)
    verdict = _verdict(job, pods, counts, now)
    conditions = (job.get("status") or {}).get("conditions") or ()
    if verdict is not None:
        settled = not (active or leaving or uncounted or counts.replace)
        return _end(conditions, verdict, active, settled, now)
    if job["spec"].get("suspend"):
        told = _set(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now)
        return Step(delete=tuple(active), forgive=True, conditions=tuple(told))
    if find(conditions, "Suspended"):
        conditions = _set(conditions, "Suspended", "False", "JobResumed", "Job resumed", now)
    wanted = max(0, wanted_active(job, counts, len(active)))
    if len(active) > wanted:
        surplus = sorted(active, key=_least_useful)[: len(active) - wanted]
        return Step(delete=tuple(surplus), forgive=True, conditions=tuple(conditions))
    missing = wanted - len(active) - (leaving if replaces_only_failed(job) else 0)
    create, chosen, wait = _start(job, pods, counts, min(missing, BURST), now)
    return Step(
        create=create,
        indexes=chosen,
        conditions=tuple(conditions),
        again=_sooner(wait or None, _deadline_left(job, now)),
    )


def _start(
    job: Object, pods: Sequence[Object], counts: Counts, most: int, now: float
) -> tuple[int, tuple[int, ...], float]:
    """(how many pods to create now, their indexes, seconds until more may be)."""
    if most <= 0:
        return 0, (), 0.0
    if not perindex.is_limited(job) and (wait := backoff_left(pods, now)):
        return 0, (), wait
    if not indexes.is_indexed(job):
        return most, (), 0.0
    taken = [pod for pod in pods if podstate.is_active(pod)]
    done = set(counts.completed | counts.failed_indexes)
    chosen = indexes.next_indexes(job, done, taken, most)
    waits = {
        index: delay_left(perindex.attempts(pod) + 1, ended(pod), now)
        for index, pod in counts.replace.items()
    }
    free = tuple(index for index in chosen if not waits.get(index))
    left = [waits[index] for index in chosen if waits.get(index)]
    return len(free), free, min(left, default=0.0)


def _least_useful(pod: Object) -> tuple[Any, ...]:
    running = podstate.phase(pod) == "Running"
    return bool(pod["spec"].get("nodeName")), running, podstate.is_ready(pod), name(pod)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """How a Job ends: first `decided` is said and its pods end; when all are counted, `over`."""

    decided: str
    over: str
    reason: str
    message: str


def _verdict(job: Object, pods: Sequence[Object], counts: Counts, now: float) -> _Verdict | None:
    """What was decided before stays, whatever its last pods do."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    met = _told(conditions, "SuccessCriteriaMet")
    failed = _told(conditions, "FailureTarget")
    if not (met[0] or failed[0]):
        failed = failure(job, pods, counts, now)
    if not (met[0] or failed[0]):
        met = success(job, counts, sum(podstate.is_active(pod) for pod in pods))
    if met[0]:
        return _Verdict(
            decided="SuccessCriteriaMet", over="Complete", reason=met[0], message=met[1]
        )
    if failed[0]:
        return _Verdict(decided="FailureTarget", over="Failed", reason=failed[0], message=failed[1])
    return None


def _told(conditions: Sequence[Condition], type_: str) -> tuple[str, str]:
    found = find(conditions, type_)
    if found is None or found["status"] != "True":
        return "", ""
    return found["reason"], found["message"]


def _end(
    conditions: Sequence[Condition],
    verdict: _Verdict,
    active: Sequence[Object],
    settled: bool,
    now: float,
) -> Step:
    reason, message = verdict.reason, verdict.message
    told = _set(conditions, verdict.decided, "True", reason, message, now)
    if settled:
        told = _set(told, verdict.over, "True", reason, message, now)
    return Step(delete=tuple(active), conditions=tuple(told), finished=settled)


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
    if perindex.is_limited(job):
        status["failedIndexes"] = indexes.render(counts.failed_indexes)
    if step.finished and find(list(step.conditions), "Complete"):
        status["completionTime"] = timestamp(now)
    return status
