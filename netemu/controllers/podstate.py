"""What a pod's status says: active, ready, available. Pure.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import is_deleting, seconds_of


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Counts as a replica: not finished and not on its way out."""
    return not is_finished(pod) and not is_deleting(pod)


def condition(obj: Object, type_: str) -> dict[str, Any] | None:
    """The status condition of that type, if there is one."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found.get("type") == type_:
            return dict(found)
    return None


def is_ready(pod: Object) -> bool:
    for found in (pod.get("status") or {}).get("conditions") or ():
        if found.get("type") == "Ready":
            return bool(found.get("status") == "True")
    return False


def ready_since(pod: Object) -> float | None:
    """Epoch seconds since when the pod is ready; None when it is not."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    stamp = ready.get("lastTransitionTime")
    return seconds_of(stamp) if stamp else 0.0


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    """Ready for at least `min_ready_seconds`."""
    if min_ready_seconds <= 0:
        return is_ready(pod)
    since = ready_since(pod)
    return since is not None and since + min_ready_seconds <= now


def available_in(pod: Object, min_ready_seconds: int, now: float) -> float | None:
    """Seconds until a ready pod becomes available; None when time alone will not do it."""
    since = ready_since(pod)
    return None if since is None else max(0.0, since + min_ready_seconds - now)


def restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)
