"""What to do next for a pod: which containers to start now, when to look again, when it is over.

Pure: states in, decisions out. The order is Kubernetes': init containers one by one, sidecars
among them until they have started, then all containers; restarts by restartPolicy, with back-off.

https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/kuberuntime_manager.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netemu.api.kind import Object
from netemu.node.kubelet.states import (
    EPHEMERAL,
    INIT,
    MAIN,
    SIDECAR,
    TERMINATED,
    WAITING,
    ContainerState,
)


@dataclass(slots=True)
class Plan:
    """`start` in this order; `wake` is the earliest time at which something else is due."""

    start: list[ContainerState] = field(default_factory=list)
    backing_off: list[ContainerState] = field(default_factory=list)
    """Containers that must wait for their back-off, now in CrashLoopBackOff."""
    wake: float = 0.0
    over: bool = False
    """No container will run again: stop the sidecars, the pod has Succeeded or Failed."""

    def look_at(self, when: float) -> None:
        self.wake = min(self.wake, when) if self.wake else when


def plan_pod(
    pod: Object, states: Mapping[str, ContainerState], now: float, *, maximum: float
) -> Plan:
    """The next steps; `maximum` is the longest crash-loop delay in seconds."""
    policy = pod["spec"].get("restartPolicy") or "Always"
    plan = Plan()
    if all(is_final(state, policy) for state in of_kind(states, MAIN)):
        plan.over = True
        return plan
    ready_for_main = True
    for state in of_kind(states, INIT, SIDECAR):
        if _init_done(state):
            if state.kind == SIDECAR:
                _consider(plan, state, "Always", now, maximum)
            continue
        if state.phase == TERMINATED and state.kind == INIT and policy == "Never":
            plan.over = True
            return plan
        own = "Always" if state.kind == SIDECAR else "OnFailure" if policy != "Never" else policy
        _consider(plan, state, own, now, maximum)
        ready_for_main = False
        break
    if ready_for_main:
        for state in of_kind(states, MAIN):
            _consider(plan, state, policy, now, maximum)
    for state in of_kind(states, EPHEMERAL):
        _consider(plan, state, "Never", now, maximum)
    return plan


def of_kind(states: Mapping[str, ContainerState], *kinds: str) -> Iterable[ContainerState]:
    return (state for state in states.values() if state.kind in kinds)


def _init_done(state: ContainerState) -> bool:
    """Whether what comes after this init container may start."""
    if state.kind == SIDECAR:
        return state.started or state.once
    return state.termination is not None and state.termination.code == 0


def is_final(state: ContainerState, policy: str) -> bool:
    """Whether a container has ended for good."""
    if state.phase != TERMINATED or state.termination is None:
        return False
    return policy == "Never" or (policy == "OnFailure" and state.termination.code == 0)


def _consider(plan: Plan, state: ContainerState, policy: str, now: float, maximum: float) -> None:
    """Start a container that waits, or restart one that has ended, unless it is too early."""
    if state.phase == WAITING:
        if state.not_before > now:
            plan.look_at(state.not_before)
        else:
            plan.start.append(state)
        return
    if state.phase != TERMINATED or is_final(state, policy) or state.termination is None:
        return
    due = state.backoff.until(state.termination.finished, now, maximum)
    if due > now:
        plan.backing_off.append(state)
        plan.look_at(due)
    else:
        plan.start.append(state)
