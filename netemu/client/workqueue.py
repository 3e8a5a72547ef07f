"""Keys to work on: each waits at most once, and is never worked on twice at the same time.

client-go's queue with its three behaviours in one: deduplication, delays, and exponential backoff.
https://github.com/kubernetes/client-go/blob/master/util/workqueue/queue.go
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque

from netemu.aio import Clock

BASE_DELAY, MAX_DELAY = 0.005, 1000.0
"""client-go's default backoff for a failing key: 5 ms, doubling, up to 1000 s."""


class WorkQueue:
    """`add` any time; `get` … `done` around the work on a key."""

    def __init__(
        self, clock: Clock, *, base_delay: float = BASE_DELAY, max_delay: float = MAX_DELAY
    ) -> None:
        self._clock = clock
        self._base, self._max = base_delay, max_delay
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._failures: dict[str, int] = {}
        self._delayed: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._getters: deque[asyncio.Future[None]] = deque()

    def add(self, key: str) -> None:
        """Ask for `key`; if it is being worked on, it comes again when that is done."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: str, seconds: float) -> None:
        if seconds <= 0:
            self.add(key)
            return
        deadline = self._clock.monotonic() + seconds
        heapq.heappush(self._delayed, (deadline, next(self._order), key))
        if self._delayed[0][2] == key:
            self._wake()  # a getter may sleep for longer than that

    def add_rate_limited(self, key: str) -> None:
        """Again after a failure: each time twice as late."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._base * 2 ** min(failures, 60), self._max))

    def forget(self, key: str) -> None:
        """The key went well: its next failure starts at the least delay."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> str:
        """The next key; call `done` when finished with it."""
        while True:
            self._move_due()
            if self._ready:
                key = self._ready.popleft()
                self._dirty.discard(key)
                self._processing.add(key)
                return key
            await self._wait()

    def done(self, key: str) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def __len__(self) -> int:
        """Keys that are ready now."""
        return len(self._ready)

    def _move_due(self) -> None:
        now = self._clock.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self.add(heapq.heappop(self._delayed)[2])

    async def _wait(self) -> None:
        """Until something was added, or the first delay is over."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(woken)
        try:
            if not self._delayed:
                await woken
                return
            async with asyncio.TaskGroup() as group:
                pause = group.create_task(
                    self._clock.sleep(self._delayed[0][0] - self._clock.monotonic()),
                    name="workqueue-delay",
                )
                await asyncio.wait((woken, pause), return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            if woken in self._getters:
                self._getters.remove(woken)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
