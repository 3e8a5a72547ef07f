"""What a Deployment's status says, and whether it still moves. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/deployment/progress.go
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import name, seconds_of, timestamp
from netemu.controllers.conditions import Condition, find, with_condition, without
from netemu.controllers.deployment.rollout import available, max_unavailable, replicas
from netemu.controllers.podstate import condition

NO_DEADLINE = 2**31 - 1
AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
_AVAILABLE_TEXT = {
    True: ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
    False: (
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    ),
}


def deadline(deployment: Object) -> int | None:
    """progressDeadlineSeconds; None when there is none."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or int(seconds) == NO_DEADLINE else int(seconds)


def _count(sets: Sequence[Object], field: str) -> int:
    return sum(int((rs.get("status") or {}).get(field) or 0) for rs in sets)


def desired_counts(
    deployment: Object, sets: Sequence[Object], new: Object | None, now: float
) -> dict[str, Any]:
    """Counts and the Available condition; other conditions as they were."""
    old = deployment.get("status") or {}
    total, usable = _count(sets, "replicas"), sum(map(available, sets))
    counts = {
        "replicas": total,
        "updatedReplicas": _count([new] if new is not None else [], "replicas"),
        "readyReplicas": _count(sets, "readyReplicas"),
        "availableReplicas": usable,
        "unavailableReplicas": max(0, sum(map(replicas, sets)) - usable),
        "terminatingReplicas": _count(sets, "terminatingReplicas"),
    }
    status: dict[str, Any] = {field: count for field, count in counts.items() if count}
    status["observedGeneration"] = deployment["metadata"].get("generation", 1)
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    enough = usable >= replicas(deployment) - max_unavailable(deployment)
    status["conditions"] = _set(
        list(old.get("conditions") or ()), "Available", *_AVAILABLE_TEXT[enough], now=now
    )
    return status


def _set(
    conditions: list[Condition], type_: str, status: str, reason: str, message: str, *, now: float
) -> list[Condition]:
    return with_condition(
        conditions, type_, status, reason, message, timestamp(now), update_time=True
    )


def is_complete(deployment: Object, status: dict[str, Any]) -> bool:
    """All replicas are of the new template and available, and no old one is left."""
    wanted = replicas(deployment)
    return bool(
        status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 1)
    )


def _has_progressed(deployment: Object, status: dict[str, Any]) -> bool:
    old = deployment.get("status") or {}

    def grew(field: str) -> bool:
        return bool(status.get(field, 0) > old.get(field, 0))

    old_before = old.get("replicas", 0) - old.get("updatedReplicas", 0)
    old_now = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    return (
        grew("updatedReplicas")
        or old_now < old_before
        or grew("readyReplicas")
        or grew("availableReplicas")
    )


def _has_timed_out(deployment: Object, status: dict[str, Any], now: float) -> bool:
    """Nothing moved since the Progressing condition was last touched, for too long."""
    limit, progressing = deadline(deployment), find(status["conditions"], "Progressing")
    if limit is None or progressing is None or progressing["reason"] == AVAILABLE:
        return False
    if progressing["reason"] == TIMED_OUT:
        return True
    since = progressing.get("lastUpdateTime") or progressing["lastTransitionTime"]
    return seconds_of(since) + limit < now


def desired_status(
    deployment: Object, sets: Sequence[Object], new: Object | None, now: float
) -> dict[str, Any]:
    """The whole status of a rollout that is under way or done."""
    status = desired_counts(deployment, sets, new, now)
    conditions = status["conditions"]
    if deadline(deployment) is None:
        conditions = without(conditions, "Progressing")
    elif not _stays_complete(status):
        conditions = _progress(deployment, status, new, now)
    failure = _replica_failure(sets, new)
    if failure is not None:
        found = find(conditions, "ReplicaFailure")
        if found is None or found["message"] != failure["message"]:
            conditions = [*without(conditions, "ReplicaFailure"), failure]
    else:
        conditions = without(conditions, "ReplicaFailure")
    return {**status, "conditions": conditions}


def _stays_complete(status: dict[str, Any]) -> bool:
    """A rollout that has been complete is not timed out by a pod that dies later."""
    progressing = find(status["conditions"], "Progressing")
    same = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return same and progressing is not None and progressing["reason"] == AVAILABLE


def _progress(
    deployment: Object, status: dict[str, Any], new: Object | None, now: float
) -> list[Condition]:
    conditions: list[Condition] = status["conditions"]
    subject = f'ReplicaSet "{name(new)}"' if new else f'Deployment "{name(deployment)}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        return _set(conditions, "Progressing", "True", AVAILABLE, message, now=now)
    if _has_progressed(deployment, status):
        message = f"{subject} is progressing."
        old = find(conditions, "Progressing")
        # The update time restarts the deadline, so it moves although the status does not.
        fresh = _set([], "Progressing", "True", "ReplicaSetUpdated", message, now=now)[0]
        if old is not None and old["status"] == "True":
            fresh["lastTransitionTime"] = old["lastTransitionTime"]
        return [*without(conditions, "Progressing"), fresh]
    if _has_timed_out(deployment, status, now):
        message = f"{subject} has timed out progressing."
        return _set(conditions, "Progressing", "False", TIMED_OUT, message, now=now)
    return conditions


def _replica_failure(sets: Sequence[Object], new: Object | None) -> Condition | None:
    """The new set's ReplicaFailure as the Deployment's own; else that of any old one."""
    ordered = ([new] if new is not None else []) + [rs for rs in sets if rs is not new]
    found = (condition(rs, "ReplicaFailure") for rs in ordered)
    failure = next((one for one in found if one and one["status"] == "True"), None)
    if failure is None:
        return None
    stamp = failure.get("lastTransitionTime", "")
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
        "reason": failure.get("reason", ""),
        "message": failure.get("message", ""),
    }


def with_progress(
    deployment: Object, status: str, reason: str, message: str, now: float
) -> list[Condition]:
    """The Deployment's conditions with Progressing set: a set was made or found, or paused."""
    conditions = list((deployment.get("status") or {}).get("conditions") or ())
    return _set(conditions, "Progressing", status, reason, message, now=now)


def next_check(deployment: Object, now: float) -> float | None:
    """Seconds until the progress deadline has to be looked at; None when it does not run."""
    limit, progressing = deadline(deployment), condition(deployment, "Progressing")
    if limit is None or progressing is None:
        return None
    if progressing["reason"] in (AVAILABLE, TIMED_OUT) or progressing["status"] != "True":
        return None
    since = progressing.get("lastUpdateTime")
    return max(0.0, seconds_of(since) + limit - now) + 1.0 if since else None
