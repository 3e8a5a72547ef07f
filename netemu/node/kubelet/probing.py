"""Probes of a pod's containers: when to ask, how to count, what a verdict changes.

Until its first success a probe is repeated quickly (20 ms, doubling up to its period), so nobody
waits a period for a server that is ready. Failures count once a period, as in Kubernetes.
https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netemu.api.kind import Object
from netemu.node.kubelet.actions import Undecided, act
from netemu.node.kubelet.hooks import run_hook
from netemu.node.kubelet.states import RUNNING, ContainerState

if TYPE_CHECKING:
    from netemu.node.kubelet.worker import PodWorker

STARTUP, READINESS, LIVENESS = "Startup", "Readiness", "Liveness"
_FIRST = 0.02


@dataclass(slots=True)
class Tally:
    """Successes and failures in a row, against the probe's thresholds."""

    successes_needed: int
    failures_needed: int
    successes: int = 0
    failures: int = 0

    def count(self, succeeded: bool) -> bool | None:
        """The verdict after one more result; None while neither threshold is reached."""
        if succeeded:
            self.successes, self.failures = self.successes + 1, 0
            return True if self.successes >= self.successes_needed else None
        self.successes, self.failures = 0, self.failures + 1
        return False if self.failures >= self.failures_needed else None


class PodProbes:
    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._hooks: set[str] = set()
        """Containers whose postStart hook has not ended."""

    def start(self, state: ContainerState) -> None:
        """A container runs: its hook, then its probes."""
        hook = (state.spec.get("lifecycle") or {}).get("postStart")
        if hook:
            self._hooks.add(state.name)
            self._spawn(state, "hook", self._post_start(state, hook))
        else:
            self._begin(state)

    def resume(self, state: ContainerState) -> None:
        """A container that ran before we came: its hook is through."""
        if state.started:
            self._begin_after_startup(state)
        else:
            self._begin(state)

    def _begin(self, state: ContainerState) -> None:
        if state.spec.get("startupProbe"):
            self._follow(state, STARTUP)
        else:
            self._begin_after_startup(state)

    def _begin_after_startup(self, state: ContainerState) -> None:
        for kind in (READINESS, LIVENESS):
            if state.spec.get(_FIELD[kind]):
                self._follow(state, kind)

    def judge(self, state: ContainerState) -> None:
        """What is true of a running container that nothing has been asked of."""
        if state.name in self._hooks:
            return
        if not state.spec.get("startupProbe"):
            state.started = True
        if state.started and not state.spec.get("readinessProbe"):
            state.ready = True

    def stop(self, state: ContainerState) -> None:
        """A container ended: ask no more."""
        self._hooks.discard(state.name)
        for key in [key for key in self._tasks if key[0] == state.name]:
            self._cancel(key)

    def stop_for_termination(self) -> None:
        """Nothing is restarted any more; readiness is still of interest."""
        for key in [key for key in self._tasks if key[1] in (STARTUP, LIVENESS)]:
            self._cancel(key)

    def stop_all(self) -> None:
        for key in list(self._tasks):
            self._cancel(key)

    def _cancel(self, key: tuple[str, str]) -> None:
        task = self._tasks.pop(key)
        if task is not asyncio.current_task():
            task.cancel()

    def _follow(self, state: ContainerState, kind: str) -> None:
        self._spawn(state, kind, self._probe(state, kind, state.spec[_FIELD[kind]]))

    def _spawn(
        self, state: ContainerState, kind: str, coroutine: Coroutine[Any, Any, None]
    ) -> None:
        name = f"{kind.lower()}-{self._worker.uid}-{state.name}"
        task = self._worker.context.spawn(coroutine, name)
        self._tasks[state.name, kind] = task

    async def _post_start(self, state: ContainerState, hook: Object) -> None:
        try:
            await run_hook(self._worker, state, hook)
        except (OSError, RuntimeError) as error:
            events, pod = self._worker.context.events, self._worker.pod
            events.warning(pod, "FailedPostStartHook", f"PostStartHook failed: {error}")
            await self._worker.kill(state, f"FailedPostStartHook: container {state.name}")
            return
        self._hooks.discard(state.name)
        self._begin(state)
        self._worker.wake()

    async def _probe(self, state: ContainerState, kind: str, probe: Object) -> None:
        """Ask until the container ends; a startup probe ends with its success."""
        clock = self._worker.context.clock
        tally = Tally(probe.get("successThreshold") or 1, probe.get("failureThreshold") or 3)
        period = float(probe.get("periodSeconds") or 10)
        timeout = float(probe.get("timeoutSeconds") or 1)
        await clock.sleep(float(probe.get("initialDelaySeconds") or 0))
        quick, counted_until = _FIRST, clock.monotonic()
        while True:
            succeeded, output = await self._ask(state, probe, timeout)
            if state.phase != RUNNING:
                return
            if succeeded or clock.monotonic() >= counted_until:
                counted_until = clock.monotonic() + period - _FIRST
                if not succeeded:
                    self._unhealthy(f"{kind} probe {output}")
                verdict = None if succeeded is None else tally.count(succeeded)
                if verdict is not None and await self._decide(state, kind, verdict, tally):
                    return
            if succeeded:
                quick = period
            await clock.sleep(min(quick, period))
            quick = min(quick * 2, period)

    async def _ask(
        self, state: ContainerState, probe: Object, timeout: float
    ) -> tuple[bool | None, str]:
        """None for a probe that could not be made: that is told, and counts as nothing."""
        try:
            succeeded, output = await act(self._worker, state, probe, timeout)
        except Undecided as error:
            return None, f"errored and resulted in unknown state: {error}"
        return succeeded, f"failed: {output}"

    def _unhealthy(self, message: str) -> None:
        self._worker.context.events.warning(self._worker.pod, "Unhealthy", message)

    async def _decide(self, state: ContainerState, kind: str, verdict: bool, tally: Tally) -> bool:
        """Act on a verdict; True when this probe is done."""
        if kind == READINESS:
            if state.ready != verdict:
                state.ready = verdict
                self._worker.wake()
            return False
        if verdict:
            if kind == STARTUP:
                state.started = True
                self._begin_after_startup(state)
                self._worker.wake()
            return kind == STARTUP
        tally.failures = 0
        why = f"Container {state.name} failed {kind.lower()} probe, will be restarted"
        probe = state.spec[_FIELD[kind]]
        grace = probe.get("terminationGracePeriodSeconds")
        await self._worker.kill(state, why, grace=None if grace is None else float(grace))
        return True


_FIELD = {STARTUP: "startupProbe", READINESS: "readinessProbe", LIVENESS: "livenessProbe"}
