"""backoffLimitPerIndex: each index of an Indexed Job fails, and is tried again, by itself. Pure.

How often an index has failed is written on its pods: an annotation that each replacement takes over
and raises. So the pod that failed last stays uncounted until its replacement is there.
https://kubernetes.io/docs/concepts/workloads/controllers/job/#backoff-limit-per-index
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of
from netemu.controllers import podstate
from netemu.controllers.job import indexes, policy
from netemu.controllers.job.endings import ended, is_failed

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


def is_limited(job: Object) -> bool:
    return indexes.is_indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None


def failures(pod: Object) -> int:
    """Failures of its index before this pod that counted."""
    return _number(pod, FAILURES)


def attempts(pod: Object) -> int:
    """Failures of its index before this pod, those that a policy ignores included."""
    return _number(pod, FAILURES) + _number(pod, IGNORED)


def _number(pod: Object, annotation: str) -> int:
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isdigit() else 0


def failed_indexes(job: Object, pods: Iterable[Object]) -> set[int]:
    """Those that have failed for good, with what `pods` add to them."""
    found = indexes.parse((job.get("status") or {}).get("failedIndexes") or "")
    found |= {indexes.index_of(pod) for pod in pods if _ends_index(job, pod)}
    found.discard(-1)
    return found


def _ends_index(job: Object, pod: Object) -> bool:
    if not is_failed(job, pod):
        return False
    action, _ = policy.action_for(job, pod)
    if action == "FailIndex":
        return True
    return action != "Ignore" and failures(pod) >= int(job["spec"]["backoffLimitPerIndex"])


def to_replace(job: Object, pods: Sequence[Object], over: set[int]) -> dict[int, Object]:
    """Index -> its pod that failed last, where a replacement is due; `over`: ended indexes."""
    busy = over | {indexes.index_of(pod) for pod in pods if podstate.is_active(pod)}
    found: dict[int, Object] = {}
    for pod in pods:
        index = indexes.index_of(pod)
        if index == -1 or index in busy or not is_failed(job, pod):
            continue
        if index not in found or _order(found[index]) <= _order(pod):
            found[index] = pod
    return found


def _order(pod: Object) -> tuple[int, float]:
    return attempts(pod), ended(pod)


def counts_after(job: Object, failed: Object | None) -> dict[str, str]:
    """Annotations of a pod that starts an index, or replaces `failed`."""
    if failed is None:
        return {FAILURES: "0"}
    action, _ = policy.action_for(job, failed)
    counted, ignored = failures(failed), _number(failed, IGNORED)
    if action == "Ignore":
        ignored += 1
    else:
        counted += 1
    return {FAILURES: str(counted)} | ({IGNORED: str(ignored)} if ignored else {})
