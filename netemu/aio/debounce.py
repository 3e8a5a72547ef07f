"""Coalesce a burst of changes into one sync, as kube-proxy's bounded-frequency runner does.

A sync starts at once when the last one ended at least `min_interval` ago; otherwise it waits for
the rest of the interval, and every request made meanwhile is served by that one run.
https://github.com/kubernetes/kubernetes/blob/v1.33.0/pkg/util/async/bounded_frequency_runner.go
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from netemu.aio.clock import Clock, SystemClock


class Debouncer:
    """Runs `sync` for requests; at most once per `min_interval` seconds, never two at a time."""

    def __init__(
        self,
        sync: Callable[[], Awaitable[None]],
        *,
        min_interval: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        self._sync = sync
        self._min_interval = min_interval
        self._clock = clock or SystemClock()
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """Ask for a sync; cheap, may be called for every event."""
        self._wanted.set()

    async def run(self) -> None:
        """Serve requests until cancelled. An error of `sync` ends the run: `sync` owns retries."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._sync()
            if self._min_interval > 0:
                await self._clock.sleep(self._min_interval)
