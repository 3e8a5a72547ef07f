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
from netemu.controllers.job import indexes, policy

FINALIZER = "batch.kubernetes.io/job-tracking"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    succeeded: int
    failed: int
    uncounted_succeeded: tuple[str, ...]
    uncounted_failed: tuple[str, ...]
    completed: frozenset[int]
    """Indexes that have succeeded."""
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


def is_failed(pod: Object) -> bool:
    """Failed, or deleted before it could succeed."""
    phase = podstate.phase(pod)
    return phase == "Failed" or (is_deleting(pod) and phase != "Succeeded")


def is_over(pod: Object) -> bool:
    return podstate.is_finished(pod) or is_deleting(pod)


def count(job: Object, pods: Sequence[Object]) -> Counts:
    """The Job's counts, with what `pods` add to them."""
    status = job.get("status") or {}
    waiting = status.get("uncountedTerminatedPods") or {}
    held = {uid(pod): pod for pod in pods if has_finalizer(pod)}
    succeeded, still_succeeded = _settle(waiting.get("succeeded") or (), held)
    failed, still_failed = _settle(waiting.get("failed") or (), held)
    completed = indexes.parse(status.get("completedIndexes") or "")
    release, fail_job = [], ""
    for pod in pods:
        if podstate.phase(pod) == "Succeeded" and indexes.is_indexed(job):
            completed.add(indexes.index_of(pod))
        if uid(pod) not in held or not is_over(pod):
            continue
        release.append(pod)
        if podstate.phase(pod) == "Succeeded":
            if uid(pod) not in still_succeeded:
                still_succeeded.append(uid(pod))
        elif is_failed(pod) and uid(pod) not in still_failed:
            action, why = policy.action_for(job, pod)
            if action != "Ignore":
                still_failed.append(uid(pod))
            if action == "FailJob":
                fail_job = why
    completed.discard(-1)
    return Counts(
        succeeded=int(status.get("succeeded") or 0) + succeeded,
        failed=int(status.get("failed") or 0) + failed,
        uncounted_succeeded=tuple(still_succeeded),
        uncounted_failed=tuple(still_failed),
        completed=frozenset(completed),
        release=tuple(release),
        fail_job=fail_job,
    )


def _settle(uids: Sequence[str], held: Mapping[str, Object]) -> tuple[int, list[str]]:
    """(how many have lost their finalizer and so are final, those that have it still)."""
    left = [found for found in uids if found in held]
    return len(uids) - len(left), left
