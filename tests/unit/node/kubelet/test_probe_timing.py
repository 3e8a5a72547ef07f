"""When probes ask, and when their results count, on a clock that the test drives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from netemu.aio import FakeClock, spawn
from netemu.node.kubelet import probing
from netemu.node.kubelet.probing import PodProbes
from netemu.node.kubelet.states import RUNNING, ContainerState


class Context:
    """The part of a node's context that probes use."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.clock = FakeClock()
        self.events = self
        self.warnings: list[str] = []
        self._group = group

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return spawn(self._group, coroutine, name=name)

    def warning(self, pod: Any, reason: str, message: str) -> None:
        self.warnings.append(message)


class Worker:
    uid = "u1"

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.context = Context(group)
        self.pod: dict[str, Any] = {}
        self.killed: list[str] = []
        self.healthy = False
        self.asked: list[float] = []
        """Seconds after the start at which a probe asked."""

    def wake(self) -> None:
        pass

    async def kill(self, state: ContainerState, why: str, *, grace: float | None = None) -> None:
        self.killed.append(why)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes' actions answer what the worker says."""

    async def act(worker: Worker, state: Any, action: Any, timeout: float) -> tuple[bool, str]:
        worker.asked.append(round(worker.context.clock.monotonic() - 1_750_000_000.0, 3))
        return worker.healthy, "" if worker.healthy else "no"

    monkeypatch.setattr(probing, "act", act)


def start(worker: Worker, **probes: dict[str, Any]) -> tuple[PodProbes, ContainerState]:
    state = ContainerState("c", "main", probes, phase=RUNNING)
    found = PodProbes(worker)  # type: ignore[arg-type]
    found.start(state)
    return found, state


async def test_readiness_is_asked_quickly_until_it_succeeds(answering: None) -> None:
    async with asyncio.TaskGroup() as group:
        worker = Worker(group)
        probes, state = start(worker, readinessProbe={"periodSeconds": 10})
        await worker.context.clock.advance(0.2)
        assert worker.asked == [0, 0.02, 0.06, 0.14] and not state.ready
        worker.healthy = True
        await worker.context.clock.advance(0.2)
        assert state.ready and worker.asked[-1] == 0.3
        await worker.context.clock.advance(10)
        assert len(worker.asked) == 6
        worker.healthy = False
        await worker.context.clock.advance(29)
        assert state.ready
        await worker.context.clock.advance(1)
        assert not state.ready
        probes.stop_all()


async def test_failures_count_once_a_period(answering: None) -> None:
    async with asyncio.TaskGroup() as group:
        worker = Worker(group)
        liveness = {"periodSeconds": 5, "failureThreshold": 3, "initialDelaySeconds": 2}
        _, _ = start(worker, livenessProbe=liveness)
        await worker.context.clock.advance(1.9)
        assert worker.asked == []
        await worker.context.clock.advance(9)
        assert worker.killed == [] and len(worker.context.warnings) == 2
        await worker.context.clock.advance(5)
        assert worker.killed == ["Container c failed liveness probe, will be restarted"]


async def test_other_probes_wait_for_the_startup_probe(answering: None) -> None:
    async with asyncio.TaskGroup() as group:
        worker = Worker(group)
        probes, state = start(
            worker, startupProbe={"periodSeconds": 9}, readinessProbe={"periodSeconds": 9}
        )
        probes.judge(state)
        assert not state.started and not state.ready
        worker.healthy = True
        await worker.context.clock.advance(0.05)
        probes.judge(state)
        assert state.started and state.ready
        probes.stop_all()
