"""What ReplicaSets and ReplicationControllers decide. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/replicaset/replica_set.go
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_utils.go
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of
from netemu.api.meta import is_deleting, labels
from netemu.controllers import podstate
from netemu.controllers.conditions import with_condition, without

BURST = 500
"""At most so many creations or deletions a look, as upstream."""
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class ScalePlan:
    create: int
    delete: tuple[Object, ...]


def plan_scale(owner: Object, pods: Sequence[Object], related: Iterable[Object] = ()) -> ScalePlan:
    """How many pods to create, or which to delete. `related`: all pods of the owner's siblings."""
    if is_deleting(owner):
        return ScalePlan(0, ())
    active = [pod for pod in pods if podstate.is_active(pod)]
    surplus = len(active) - int(owner["spec"].get("replicas", 1))
    if surplus < 0:
        return ScalePlan(min(-surplus, BURST), ())
    victims = victims_of(active, min(surplus, BURST), related) if surplus else ()
    return ScalePlan(0, tuple(victims))


def victims_of(active: list[Object], count: int, related: Iterable[Object]) -> list[Object]:
    """The `count` pods whose end costs least."""
    if count >= len(active):
        return active
    around = [pod for pod in related if podstate.is_active(pod)] or active
    crowd = Counter(pod["spec"].get("nodeName") for pod in around)
    return sorted(active, key=lambda pod: _deletion_rank(pod, crowd))[:count]


def _deletion_rank(pod: Object, crowd: Counter[Any]) -> tuple[Any, ...]:
    """Less of this first: unassigned, pending, unready, cheap, crowded, young, restarted."""
    node = pod["spec"].get("nodeName")
    ready = podstate.is_ready(pod)
    since = podstate.ready_since(pod) if ready else None
    return (
        bool(node),
        _PHASE_RANK.get(podstate.phase(pod), 2),
        ready,
        deletion_cost(pod),
        -crowd[node],
        -(since or 0.0),
        -podstate.restarts(pod),
        _newest_first(pod["metadata"].get("creationTimestamp") or ""),
        pod["metadata"].get("name", ""),
    )


def _newest_first(stamp: str) -> tuple[int, ...]:
    return tuple(-ord(char) for char in stamp)


def deletion_cost(pod: Object) -> int:
    """The annotation's number; 0 when there is none or it is none."""
    try:
        return int(annotations_of(pod).get(DELETION_COST) or 0)
    except ValueError:
        return 0


def desired_status(
    owner: Object,
    pods: Sequence[Object],
    *,
    now: float,
    stamp: str,
    failure: tuple[str, str] | None,
) -> dict[str, Any]:
    """The owner's status. `failure`: (FailedCreate or FailedDelete, message) of this look."""
    spec, old = owner["spec"], owner.get("status") or {}
    wanted = (spec.get("template") or {}).get("metadata", {}).get("labels") or {}
    min_ready = int(spec.get("minReadySeconds") or 0)
    total = labeled = ready = available = terminating = 0
    for pod in pods:
        if is_deleting(pod):
            terminating += not podstate.is_finished(pod)
            continue
        if podstate.is_finished(pod):
            continue
        total += 1
        labeled += wanted.items() <= labels(pod).items()
        if podstate.is_ready(pod):
            ready += 1
            available += not min_ready or podstate.is_available(pod, min_ready, now)
    status: dict[str, Any] = {"replicas": total}
    counts = {
        "fullyLabeledReplicas": labeled,
        "readyReplicas": ready,
        "availableReplicas": available,
        "terminatingReplicas": terminating,
    }
    status |= {field: count for field, count in counts.items() if count}
    status["observedGeneration"] = owner["metadata"].get("generation", 1)
    conditions = list(old.get("conditions") or ())
    if failure:
        conditions = with_condition(conditions, "ReplicaFailure", "True", *failure, stamp)
    else:
        conditions = without(conditions, "ReplicaFailure")
    if conditions:
        status["conditions"] = conditions
    return status


def next_available(owner: Object, pods: Iterable[Object], now: float) -> float | None:
    """Seconds until the next ready pod becomes available through time alone."""
    min_ready = int(owner["spec"].get("minReadySeconds") or 0)
    if not min_ready:
        return None
    waits = (podstate.available_in(pod, min_ready, now) for pod in pods if podstate.is_active(pod))
    return min((wait for wait in waits if wait), default=None)
