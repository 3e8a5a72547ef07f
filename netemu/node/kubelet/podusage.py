"""What pods use now: rates from two readings of what they have used so far.

For autoscalers and `top`; metrics-server's window is 15 s, here it is whatever lies between two
questions, a second at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netemu.aio import Clock
from netemu.api import meta
from netemu.node.kubelet.runtime import Runtime
from netemu.node.kubelet.worker import PodWorker

_SHORTEST = 1.0
_FIRST_WAIT = 0.25
Usage = dict[str, dict[str, int]]
"""Container → resource → usage: cpu in thousandths of a core, memory in bytes."""


@dataclass(frozen=True, slots=True)
class Reading:
    when: float
    spent: Mapping[str, int]
    """Container id → nanoseconds of processor time so far."""


class PodUsage:
    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime, self._clock = runtime, clock
        self._before: Reading | None = None
        self.window = 0.0
        """Over how many seconds the last figures were measured."""

    async def measure(self, workers: Iterable[PodWorker]) -> dict[tuple[str, str], Usage]:
        """(namespace, name) → usage, of pods that run."""
        if self._before is None:
            self._before, _ = await self._read()
            await self._clock.sleep(_FIRST_WAIT)
        now, memory = await self._read()
        before = self._before
        if now.when - before.when >= _SHORTEST:
            self._before = now
        self.window = seconds = max(1e-3, now.when - before.when)
        result = {}
        for worker in workers:
            found = {}
            for state in worker.states.values():
                if state.alive and state.id in memory:
                    spent = now.spent[state.id] - before.spent.get(state.id, 0)
                    cpu = max(0, round(spent / seconds / 1e6))
                    found[state.name] = {"cpu": cpu, "memory": memory[state.id]}
            if found:
                result[meta.namespace(worker.pod), meta.name(worker.pod)] = found
        return result

    async def totals(self) -> dict[str, tuple[int, int]]:
        """Container id → (nanoseconds of processor time so far, bytes of memory)."""
        return await self._runtime.usage()

    async def _read(self) -> tuple[Reading, dict[str, int]]:
        usage = await self.totals()
        spent = {identifier: pair[0] for identifier, pair in usage.items()}
        memory = {identifier: pair[1] for identifier, pair in usage.items()}
        return Reading(self._clock.monotonic(), spent), memory
