"""How a pod shows in a table: READY, STATUS, RESTARTS.

https://github.com/kubernetes/kubernetes/blob/master/pkg/printers/internalversion/printers.go
"""

from __future__ import annotations

from typing import Any

from netemu.api import meta
from netemu.api.duration import human
from netemu.api.kind import Object


def ready(pod: Object, now: float) -> str:
    """`1/2`: containers that are ready, sidecars among them."""
    sidecars = _sidecars(pod)
    total = len(_spec(pod).get("containers") or ()) + len(sidecars)
    count = 0
    for status in _statuses(pod, "initContainerStatuses"):
        if status.get("name") in sidecars and _is_up(status):
            count += 1
    if not _initializing(pod)[0]:
        count += sum(_is_up(status) for status in _statuses(pod, "containerStatuses"))
    return f"{count}/{total}"


def _spec(pod: Object) -> dict[str, Any]:
    return pod.get("spec") or {}


def _status(pod: Object) -> dict[str, Any]:
    return pod.get("status") or {}


def _statuses(pod: Object, group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _status(pod).get(group) or []
    return found


def _sidecars(pod: Object) -> set[str]:
    return {
        container.get("name")
        for container in _spec(pod).get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }


def _is_up(status: dict[str, Any]) -> bool:
    return bool(status.get("ready")) and (status.get("state") or {}).get("running") is not None


def _initializing(pod: Object) -> tuple[bool, str]:
    """(whether the init containers are still at it, how that shows)."""
    sidecars = _sidecars(pod)
    total = len(_spec(pod).get("initContainers") or ())
    for index, status in enumerate(_statuses(pod, "initContainerStatuses")):
        state = status.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended is not None and not ended.get("exitCode"):
            continue
        if status.get("name") in sidecars and status.get("started"):
            continue
        if ended is not None:
            return True, f"Init:{ended.get('reason') or _exit(ended)}"
        reason = (waiting or {}).get("reason")
        if reason and reason != "PodInitializing":
            return True, f"Init:{reason}"
        return True, f"Init:{index}/{total}"
    return False, ""


def _exit(ended: dict[str, Any]) -> str:
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode') or 0}"


def status(pod: Object, now: float = 0) -> str:
    """The word under STATUS: the phase, or what keeps a container from running."""
    found = _status(pod)
    if meta.is_deleting(pod):
        phase = found.get("phase")
        if found.get("reason") == "NodeLost":
            return "Unknown"
        if phase not in ("Succeeded", "Failed"):
            return "Terminating"
    reason = found.get("reason") or found.get("phase") or ""
    for condition in found.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    starting, shown = _initializing(pod)
    return shown if starting else _running_status(pod, reason)


def _running_status(pod: Object, reason: str) -> str:
    running = False
    for container in reversed(_statuses(pod, "containerStatuses")):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended is not None:
            reason = ended.get("reason") or _exit(ended)
        elif _is_up(container):
            running = True
    if reason == "Completed" and running:
        return "Running" if _has_ready_condition(pod) else "NotReady"
    return reason


def _has_ready_condition(pod: Object) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in _status(pod).get("conditions") or ()
    )


def restarts(pod: Object, now: float) -> str:
    """`3 (5m ago)`: restarts, and when the last one was."""
    sidecars = _sidecars(pod)
    starting = _initializing(pod)[0]
    shown = [
        status
        for status in _statuses(pod, "initContainerStatuses")
        if starting or status.get("name") in sidecars
    ]
    if not starting:
        shown += _statuses(pod, "containerStatuses")
    count = sum(status.get("restartCount") or 0 for status in shown)
    ended = [
        finished
        for status in shown
        if (finished := ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt"))
    ]
    if not count or not ended:
        return str(count)
    return f"{count} ({human(now - meta.seconds_of(max(ended)))} ago)"


def readiness_gates(pod: Object, now: float) -> str:
    gates = _spec(pod).get("readinessGates") or ()
    if not gates:
        return "<none>"
    true = {
        condition.get("type")
        for condition in _status(pod).get("conditions") or ()
        if condition.get("status") == "True"
    }
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"


def row_conditions(pod: Object) -> list[dict[str, str]]:
    phase = _status(pod).get("phase")
    messages = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    if phase not in messages:
        return []
    message = messages[phase]
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]
