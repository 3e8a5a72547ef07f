"""Count each finished pod exactly once, even if it is deleted or the daemon dies in between.

A pod keeps a finalizer until it is counted: its uid goes into `uncountedTerminatedPods`, then the
finalizer goes, then the uid moves into the totals. Each step can be repeated. Pure.
https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netemu.api.kind import Object
from netemu.api.meta import is_deleting, metadata, uid
from netemu.controllers import podstate
from netemu.controllers.conditions import find
from netemu.controllers.job import indexes, perindex, policy
from netemu.controllers.job.endings import is_over

FINALIZER = "batch.kubernetes.io/job-tracking"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    succeeded: int
    failed: int
    uncounted_succeeded: tuple[str, ...]
    uncounted_failed: tuple[str, ...]
    completed: frozenset[int]
    """Indexes that have succeeded."""
    failed_indexes: frozenset[int]
    """Indexes that have failed for good; always empty without backoffLimitPerIndex."""
    replace: Mapping[int, Object]
    """Index -> the failed pod that a new one takes over from; not counted before that."""
    release: tuple[Object, ...]
    """Pods whose finalizer may go once this is written."""
    fail_job: str
    """Why a pod's failure ends the Job; empty when none does."""

    @property
    def all_succeeded(self) -> int:
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def all_failed(self) -> int:
        return self.failed + len(self.uncounted_failed)


def has_finalizer(pod: Object) -> bool:
    return FINALIZER in (metadata(pod).get("finalizers") or ())


def count(job: Object, pods: Sequence[Object]) -> Counts:
    """The Job's counts, with what `pods` add to them."""
    status = job.get("status") or {}
    waiting = status.get("uncountedTerminatedPods") or {}
    held = {uid(pod): pod for pod in pods if has_finalizer(pod)}
    succeeded, still_succeeded = _settle(waiting.get("succeeded") or (), held)
    failed, still_failed = _settle(waiting.get("failed") or (), held)
    completed = _completed(job, pods)
    failed_indexes, replace = _per_index(job, pods, completed)
    waits = {uid(pod) for pod in replace.values()}
    release, fail_job = [], ""
    for pod in pods:
        if uid(pod) not in held or uid(pod) in waits or not is_over(job, pod):
            continue
        release.append(pod)
        if podstate.phase(pod) == "Succeeded":
            if uid(pod) not in still_succeeded:
                still_succeeded.append(uid(pod))
        elif uid(pod) not in still_failed:
            action, why = policy.action_for(job, pod)
            if action != "Ignore":
                still_failed.append(uid(pod))
            if action == "FailJob":
                fail_job = why
    return Counts(
        succeeded=int(status.get("succeeded") or 0) + succeeded,
        failed=int(status.get("failed") or 0) + failed,
        uncounted_succeeded=tuple(still_succeeded),
        uncounted_failed=tuple(still_failed),
        completed=frozenset(completed),
        failed_indexes=frozenset(failed_indexes),
        replace=replace,
        release=tuple(release),
        fail_job=fail_job,
    )


def _completed(job: Object, pods: Sequence[Object]) -> set[int]:
    if not indexes.is_indexed(job):
        return set()
    found = indexes.parse((job.get("status") or {}).get("completedIndexes") or "")
    found |= {indexes.index_of(pod) for pod in pods if podstate.phase(pod) == "Succeeded"}
    found.discard(-1)
    return found


def _per_index(
    job: Object, pods: Sequence[Object], completed: set[int]
) -> tuple[set[int], dict[int, Object]]:
    """(indexes that have failed, index -> the failed pod whose replacement is due)."""
    if not perindex.is_limited(job):
        return set(), {}
    failed = perindex.failed_indexes(job, pods) - completed
    if is_decided(job) or is_deleting(job):
        return failed, {}
    return failed, perindex.to_replace(job, pods, completed | failed)


def is_decided(job: Object) -> bool:
    """Whether it will fail or succeed is known; what is left of its pods ends."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    told = [find(conditions, type_) for type_ in ("FailureTarget", "SuccessCriteriaMet")]
    return any(one is not None and one["status"] == "True" for one in told)


def _settle(uids: Sequence[str], held: Mapping[str, Object]) -> tuple[int, list[str]]:
    """(how many have lost their finalizer and so are final, those that have it still)."""
    left = [found for found in uids if found in held]
    return len(uids) - len(left), left
