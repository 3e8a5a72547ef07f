"""What a StatefulSet's status says. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/stateful-set-v1/#StatefulSetStatus
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import is_deleting
from netemu.controllers import podstate
from netemu.controllers.statefulset.identity import revision_of
from netemu.controllers.statefulset.plan import View, is_running_and_ready


def desired_status(view: View, current: str, update: str, collisions: int) -> dict[str, Any]:
    """`current` and `update` are names of ControllerRevisions."""
    owner = view.owner
    pods = [pod for pod in (*view.slots.values(), *view.condemned) if pod is not None]
    ready = [pod for pod in pods if is_running_and_ready(pod)]
    usable = sum(podstate.is_available(pod, view.min_ready, view.now) for pod in ready)
    on_current, on_update = _on(pods, current), _on(pods, update)
    rolling = (owner["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
    if rolling and on_update == len(pods) == len(view.slots) and len(ready) == len(pods):
        # The update is through: what was new is now current.
        current, on_current = update, on_update
    counts = {
        "readyReplicas": len(ready),
        "currentReplicas": on_current,
        "updatedReplicas": on_update,
    }
    status: dict[str, Any] = {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "replicas": len(pods),
        "availableReplicas": usable,
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collisions,
    }
    status |= {field: count for field, count in counts.items() if count}
    if conditions := (owner.get("status") or {}).get("conditions"):
        status["conditions"] = conditions
    return status


def _on(pods: list[Object], revision: str) -> int:
    return sum(not is_deleting(pod) and revision_of(pod) == revision for pod in pods)


def next_available(view: View) -> float | None:
    """Seconds until time alone makes a ready pod available."""
    if not view.min_ready:
        return None
    waits = (
        podstate.available_in(pod, view.min_ready, view.now)
        for pod in view.slots.values()
        if pod is not None
    )
    return min((wait for wait in waits if wait), default=None)
