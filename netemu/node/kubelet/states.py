"""What the kubelet knows of one container: the part that a status is made of.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from netemu.api.kind import Object

INIT, SIDECAR, MAIN, EPHEMERAL = "init", "sidecar", "main", "ephemeral"
WAITING, STARTING, RUNNING, TERMINATED = "waiting", "starting", "running", "terminated"
PROCESS, STAND_IN = "process", "standin"


@dataclass(slots=True)
class Termination:
    """How a container ended. Times are seconds since the epoch; 0 for one that never ran."""

    code: int
    reason: str
    message: str = ""
    signal: int = 0
    started: float = 0.0
    finished: float = 0.0
    container_id: str = ""


@dataclass(slots=True)
class Backoff:
    """Crash-loop delay: none at first, then doubling; forgotten after a long good run."""

    delay: float = 0.0
    updated: float = 0.0

    def until(self, finished: float, now: float, maximum: float) -> float:
        """When a container that ended at `finished` may start again."""
        if self.updated and now - self.updated > 2 * maximum:
            self.delay = 0.0
        return finished + self.delay

    def next(self, now: float, base: float, maximum: float) -> None:
        """A restart happens: the next one waits longer."""
        self.delay = min(maximum, self.delay * 2 if self.delay else base)
        self.updated = now


@dataclass(slots=True)
class ContainerState:
    """One container of a pod, through all its restarts."""

    name: str
    kind: str
    spec: Object
    phase: str = WAITING
    id: str = ""
    runtime: str = ""
    reason: str = ""
    """Why it waits: ContainerCreating, CrashLoopBackOff, ErrImagePull …"""
    message: str = ""
    started_at: float = 0.0
    termination: Termination | None = None
    last: Termination | None = None
    restarts: int = 0
    started: bool = False
    """Its startup probe and postStart hook, if any, are through."""
    once: bool = False
    """It has been started in an earlier run: what comes after a sidecar waits no more."""
    ready: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    not_before: float = 0.0
    """When a start that failed for a reason other than its own exit may be tried again."""
    killed: str = ""
    """Why the kubelet itself is ending it: the message of the Killing event."""

    @property
    def alive(self) -> bool:
        return self.phase in (STARTING, RUNNING)

    def wait(self, reason: str, message: str = "") -> None:
        self.phase, self.reason, self.message = WAITING, reason, message

    def end(self, termination: Termination) -> None:
        """It has ended, perhaps before its start was heard of; what came before is history."""
        self.phase, self.termination = TERMINATED, termination
        self.reason = self.message = ""
        self.once = self.once or self.started
        self.started = self.ready = False
        self.killed = ""

    def restart(self) -> None:
        """Forget the present run and count a new one."""
        self.last, self.termination = self.termination or self.last, None
        self.restarts += 1
        self.phase, self.reason, self.message = WAITING, "ContainerCreating", ""


def states_of(pod: Object) -> dict[str, ContainerState]:
    """A fresh state for every container of a pod, by name, in the order of starting."""
    spec = pod["spec"]
    first = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
    result: dict[str, ContainerState] = {}
    for container in spec.get("initContainers") or ():
        kind = SIDECAR if container.get("restartPolicy") == "Always" else INIT
        result[container["name"]] = ContainerState(
            container["name"], kind, container, reason="PodInitializing"
        )
    for container in spec["containers"]:
        result[container["name"]] = ContainerState(container["name"], MAIN, container, reason=first)
    for container in spec.get("ephemeralContainers") or ():
        result[container["name"]] = ContainerState(
            container["name"], EPHEMERAL, container, reason="ContainerCreating"
        )
    return result


def termination_reason(code: int, *, oom: bool = False) -> str:
    return "OOMKilled" if oom else "Completed" if code == 0 else "Error"


def notes(state: ContainerState) -> dict[str, Any]:
    """What the supervisor keeps for us: enough to know the container again after a restart."""
    return {"name": state.name, "restarts": state.restarts, "delay": state.backoff.delay}
