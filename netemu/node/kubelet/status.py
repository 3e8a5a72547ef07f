"""A pod's status from the states of its containers. Pure.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/status/generate.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.podspec.qos import qos_class
from netemu.node.images import full_name, image_id
from netemu.node.kubelet.eviction import EVICTED
from netemu.node.kubelet.plan import is_final, of_kind
from netemu.node.kubelet.states import (
    EPHEMERAL,
    INIT,
    MAIN,
    RUNNING,
    SIDECAR,
    TERMINATED,
    ContainerState,
    Termination,
)

OWN_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)
_DISRUPTED = "DisruptionTarget"
CONTAINER_SCHEME = "netemu://"


@dataclass(slots=True, kw_only=True)
class Circumstances:
    """What a status says beside the containers. `failed`: (reason, message) of a pod put down."""

    pod_ips: Sequence[str] = ()
    host_ips: Sequence[str] = ()
    started: float = 0.0
    failed: tuple[str, str] | None = None
    has_network: bool = False
    stopped: bool = False
    """All of a pod that is being deleted has ended: its phase is final, whatever its policy."""


@lru_cache(maxsize=256)
def _stamp_of(second: int) -> str:
    return meta.timestamp(second)


def _stamp(seconds: float) -> str:
    """A thousand pods that start in the same second share its text."""
    return _stamp_of(int(seconds))


def compile_status(
    pod: Object, states: Mapping[str, ContainerState], around: Circumstances, now: float
) -> Object:
    """The whole status; conditions that are not ours are kept from `pod`."""
    phase = pod_phase(pod, states, around)
    status: Object = {"phase": phase}
    status["conditions"] = _conditions(pod, states, phase, around, now)
    if around.failed is not None:
        status["reason"], status["message"] = around.failed
    if around.host_ips:
        status["hostIP"] = around.host_ips[0]
        status["hostIPs"] = [{"ip": address} for address in around.host_ips]
    if around.pod_ips:
        status["podIP"] = around.pod_ips[0]
        status["podIPs"] = [{"ip": address} for address in around.pod_ips]
    if around.started:
        status["startTime"] = _stamp(around.started)
    for field, kinds in _STATUS_FIELDS:
        statuses = [_container_status(state) for state in of_kind(states, *kinds)]
        if statuses:
            status[field] = statuses
    status["qosClass"] = (pod.get("status") or {}).get("qosClass") or qos_class(pod["spec"])
    return status


_STATUS_FIELDS = (
    ("initContainerStatuses", (INIT, SIDECAR)),
    ("containerStatuses", (MAIN,)),
    ("ephemeralContainerStatuses", (EPHEMERAL,)),
)


def pod_phase(pod: Object, states: Mapping[str, ContainerState], around: Circumstances) -> str:
    """Pending, Running, Succeeded or Failed."""
    if around.failed is not None:
        return "Failed"
    policy = pod["spec"].get("restartPolicy") or "Always"
    if around.stopped:
        ends = [state.termination for state in of_kind(states, MAIN)]
        return "Succeeded" if all(end and end.code == 0 for end in ends) else "Failed"
    if not is_initialized(states):
        stuck = any(
            state.kind == INIT and state.termination and state.termination.code
            for state in states.values()
        )
        return "Failed" if stuck and policy == "Never" else "Pending"
    main = list(of_kind(states, MAIN))
    if all(is_final(state, policy) for state in main):
        codes = [state.termination.code for state in main if state.termination]
        return "Failed" if any(codes) else "Succeeded"
    never_ran = any(_has_never_run(state) for state in main)
    return "Pending" if never_ran else "Running"


def _has_never_run(state: ContainerState) -> bool:
    """Waiting for its first start; a container that crashed before counts as running."""
    return (
        state.phase not in (RUNNING, TERMINATED)
        and state.last is None
        and state.termination is None
    )


def is_initialized(states: Mapping[str, ContainerState]) -> bool:
    return not _uninitialized(states)


def _uninitialized(states: Mapping[str, ContainerState]) -> list[str]:
    result = []
    for state in of_kind(states, INIT, SIDECAR):
        if state.kind == SIDECAR:
            done = state.started or state.once
        else:
            done = state.termination is not None and state.termination.code == 0
        if not done:
            result.append(state.name)
    return result


def _conditions(
    pod: Object,
    states: Mapping[str, ContainerState],
    phase: str,
    around: Circumstances,
    now: float,
) -> list[Object]:
    old = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
    incomplete = _uninitialized(states)
    unready = [s.name for s in of_kind(states, MAIN, SIDECAR) if not s.ready]
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")
    made = [
        _condition("PodReadyToStartContainers", around.has_network and not ended),
        _initialized(incomplete, ended),
        _ready(pod, unready, ended, old),
        _containers_ready(unready, ended),
        _condition("PodScheduled", True),
    ]
    result = []
    stamp = _stamp(now)
    for condition in made:
        before = old.get(condition["type"])
        same = before is not None and before.get("status") == condition["status"]
        changed = before.get("lastTransitionTime") if same and before else None
        result.append({**condition, "lastProbeTime": None, "lastTransitionTime": changed or stamp})
    result += [each for name, each in old.items() if name not in OWN_CONDITIONS]
    if around.failed is not None and around.failed[0] == EVICTED and _DISRUPTED not in old:
        told = _condition(_DISRUPTED, True, "TerminationByKubelet", around.failed[1])
        result.append({**told, "lastProbeTime": None, "lastTransitionTime": stamp})
    return result


def _condition(kind: str, value: bool, reason: str = "", message: str = "") -> Object:
    result: dict[str, Any] = {"type": kind, "status": "True" if value else "False"}
    if reason:
        result["reason"] = reason
    if message:
        result["message"] = message
    return result


def _initialized(incomplete: list[str], ended: str) -> Object:
    if incomplete and ended != "PodCompleted":
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return _condition("Initialized", False, "ContainersNotInitialized", message)
    return _condition("Initialized", True, ended if ended == "PodCompleted" else "")


def _containers_ready(unready: list[str], ended: str) -> Object:
    if ended:
        return _condition("ContainersReady", False, ended)
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return _condition("ContainersReady", False, "ContainersNotReady", message)
    return _condition("ContainersReady", True)


def _ready(pod: Object, unready: list[str], ended: str, old: Mapping[str, Object]) -> Object:
    """Ready needs all containers and every readiness gate."""
    containers = _containers_ready(unready, ended)
    if containers["status"] == "False":
        return {**containers, "type": "Ready"}
    for gate in pod["spec"].get("readinessGates") or ():
        named = gate["conditionType"]
        if named not in old:
            message = f'corresponding condition of pod readiness gate "{named}" does not exist.'
        elif old[named].get("status") != "True":
            message = (
                f'the status of pod readiness gate "{named}" is not "True", but '
                f"{old[named].get('status')}"
            )
        else:
            continue
        return _condition("Ready", False, "ReadinessGatesNotReady", message)
    return _condition("Ready", True)


def _container_status(state: ContainerState) -> Object:
    image = state.spec.get("image") or ""
    # While it backs off, the run that ended is the last one, and the state says that it waits.
    last = state.termination if state.phase == TERMINATED and state.reason else state.last
    result: Object = {
        "name": state.name,
        "state": _state(state),
        "lastState": {"terminated": _terminated(last)} if last else {},
        "ready": state.ready if state.kind != INIT else _completed(state),
        "restartCount": state.restarts,
        "image": full_name(image) if state.id else image,
        "imageID": image_id(image) if state.id else "",
        "started": state.started and state.phase == RUNNING,
    }
    if state.id:
        result["containerID"] = CONTAINER_SCHEME + state.id
    return result


def _completed(state: ContainerState) -> bool:
    return state.termination is not None and state.termination.code == 0


def _state(state: ContainerState) -> Object:
    if state.phase == RUNNING:
        return {"running": {"startedAt": _stamp(state.started_at)}}
    if state.phase == TERMINATED and state.termination is not None and not state.reason:
        return {"terminated": _terminated(state.termination)}
    waiting = {"reason": state.reason or "ContainerCreating"}
    if state.message:
        waiting["message"] = state.message
    return {"waiting": waiting}


def _terminated(ended: Termination) -> Object:
    result: Object = {
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": _stamp(ended.started),
        "finishedAt": _stamp(ended.finished),
    }
    if ended.message:
        result["message"] = ended.message
    if ended.signal:
        result["signal"] = ended.signal
    if ended.container_id:
        result["containerID"] = CONTAINER_SCHEME + ended.container_id
    return result
