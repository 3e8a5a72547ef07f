"""One clock for every delay in controllers and kubelet, so that tests can drive time.

`FakeClock.advance` wakes sleepers in the order of their deadlines, as the real one would. Settling
between two of them lets the woken code run and register its next delay (trio's autojump clock is
the model: https://trio.readthedocs.io/en/stable/reference-testing.html).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Wall clock, seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeClock:
    """Time that moves only by `advance`."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float, *, settle: int = 20) -> None:
        """Move on by `seconds`; `settle` loop turns run after each waking."""
        end = self._now + seconds
        await _turns(settle)
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, deadline)
            if not future.done():
                future.set_result(None)
            await _turns(settle)
        self._now = end
        await _turns(settle)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
