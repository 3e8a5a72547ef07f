"""When and how a Job's pod has ended, and how long its replacement waits. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-replacement-policy
"""

from __future__ import annotations

from collections.abc import Sequence

from netemu.api.kind import Object
from netemu.api.meta import is_deleting, seconds_of
from netemu.controllers import podstate

_FIRST_BACKOFF, _LAST_BACKOFF = 10.0, 600.0


def replaces_only_failed(job: Object) -> bool:
    """podReplacementPolicy Failed, which a podFailurePolicy implies: the old pod ends first."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or bool(spec.get("podFailurePolicy"))


def is_failed(job: Object, pod: Object) -> bool:
    """Failed; or deleted before it could succeed, unless its end has to be awaited."""
    phase = podstate.phase(pod)
    if phase == "Failed":
        return True
    if not is_deleting(pod) or phase == "Succeeded":
        return False
    # A pod without a node has no kubelet that would say how it ended.
    return not replaces_only_failed(job) or not pod["spec"].get("nodeName")


def is_over(job: Object, pod: Object) -> bool:
    return podstate.phase(pod) == "Succeeded" or is_failed(job, pod)


def ended(pod: Object) -> float:
    """When, in epoch seconds; 0 where nothing says so."""
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


def backoff_left(pods: Sequence[Object], now: float) -> float:
    """Seconds before a failed pod may be replaced: 10, 20, 40, … since the last failure."""
    ends = [(ended(pod), podstate.phase(pod)) for pod in pods if podstate.is_finished(pod)]
    last_success = max((at for at, phase in ends if phase == "Succeeded"), default=0.0)
    failures = [at for at, phase in ends if phase == "Failed" and at > last_success]
    return delay_left(len(failures), max(failures, default=0.0), now)


def delay_left(failures: int, last: float, now: float) -> float:
    """What is left of the delay after so many failures, the last one at `last`."""
    if not failures:
        return 0.0
    delay: float = min(_FIRST_BACKOFF * 2 ** min(failures - 1, 20), _LAST_BACKOFF)
    return max(0.0, last + delay - now)
