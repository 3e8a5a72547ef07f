"""Events leave the workers' way: they wait in line and are written when there is time.

A thousand pods starting at once would write three thousand Events before the last of them is
ready. When the line is long, the routine ones (Pulled, Created, Started) are left out.
"""

from __future__ import annotations

import asyncio

from netemu.api.kind import Object
from netemu.api.kinds import PODS
from netemu.client.events import EventRecorder

LONG = 256
"""Events in line from which on the routine ones are dropped."""
MOST = 4096


class EventQueue:
    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._queue: asyncio.Queue[tuple[Object, str, str, str]] = asyncio.Queue()
        self.dropped = 0

    def normal(self, pod: Object, reason: str, message: str) -> None:
        """Something routine happened to `pod`."""
        self._put(pod, "Normal", reason, message, LONG)

    def warning(self, pod: Object, reason: str, message: str) -> None:
        self._put(pod, "Warning", reason, message, MOST)

    def _put(self, pod: Object, kind: str, reason: str, message: str, most: int) -> None:
        if self._queue.qsize() >= most:
            self.dropped += 1
        else:
            self._queue.put_nowait((pod, kind, reason, message))

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            pod, kind, reason, message = await self._queue.get()
            await self._recorder.event(pod, PODS, kind, reason, message)
            await asyncio.sleep(0)
