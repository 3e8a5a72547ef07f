"""Events written in the background: whoever has something to tell does not wait for the store.

Like client-go's spam filter, one object gets a burst of events from one component and then a slow
trickle: a ReplicaSet of a thousand pods tells of 25, not of a thousand.
https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from netemu.aio import Clock
from netemu.api import meta
from netemu.api.kind import Object, Resource
from netemu.client.events import EventRecorder

BURST = 25
REFILL_SECONDS = 300.0
"""client-go's defaults: 25 at once, then one in five minutes."""
_REMEMBERED = 4096
_MOST_WAITING = 10_000
_MOST_ROUTINE = 256
"""So many may wait before routine ones (Pulled, Created, Started) are left out."""
LATER, AT_LATEST = 0.5, 2.0
"""Seconds without a new event after which a burst counts as over and its events are written, and
how long the first one waits at most: what they tell of comes first."""


class EventQueue:
    """`event(…)` returns at once; `run()` writes, one after the other."""

    def __init__(self, recorder: EventRecorder, clock: Clock) -> None:
        self._recorder, self._clock = recorder, clock
        self._waiting: deque[tuple[Object, Resource, str, str, str, float]] = deque()
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._wake = asyncio.Event()
        self._newest = 0.0

    def event(
        self,
        obj: Object,
        resource: Resource,
        type: str,
        reason: str,
        message: str,
        *,
        routine: bool = False,
    ) -> None:
        """Tell users about `obj`. `type` is Normal or Warning; `routine` may be left out."""
        most = _MOST_ROUTINE if routine else _MOST_WAITING
        if self._spends(meta.uid(obj) or meta.key(obj)) and len(self._waiting) < most:
            self._waiting.append((obj, resource, type, reason, message, self._clock.now()))
            self._newest = self._clock.monotonic()
            self._wake.set()

    def _spends(self, subject: str) -> bool:
        """Take one of the subject's tokens; False when it has none left."""
        now = self._clock.monotonic()
        tokens, then = self._tokens.pop(subject, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - then) / REFILL_SECONDS)
        allowed = tokens >= 1.0
        self._tokens[subject] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        """Events not yet written."""
        return len(self._waiting)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._end_of_burst()
            while self._waiting:
                obj, resource, type_, reason, message, at = self._waiting.popleft()
                await self._recorder.event(obj, resource, type_, reason, message, at=at)
                await asyncio.sleep(0)  # everybody else goes first

    async def _end_of_burst(self) -> None:
        latest = self._clock.monotonic() + AT_LATEST
        while (rest := min(self._newest + LATER, latest) - self._clock.monotonic()) > 0:
            await self._clock.sleep(rest)
