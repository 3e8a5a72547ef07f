"""Many callers, one call: what arrives while a call runs goes into the next one.

A thousand pods ask for their network, their processes and their status one by one; the kernel and
the supervisor are asked for hundreds at a time, without anyone waiting for a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """`handle` gets a batch and returns one result for each item, or an exception in its place."""

    def __init__(
        self,
        handle: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        limit: int = 128,
    ) -> None:
        self._handle = handle
        self._limit = limit
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._wanted = asyncio.Event()

    async def submit(self, item: Item) -> Result:
        """Wait until `item` was handled in some batch; raises what went wrong with it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._wanted.set()
        return await future

    async def run(self) -> None:
        """Handle batches until cancelled."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(0)  # let whoever was woken together with us ask, too
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            if not self._waiting:
                self._wanted.clear()
            batch = [entry for entry in batch if not entry[1].cancelled()]
            if batch:
                await self._run_batch(batch)

    async def _run_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        results: Sequence[Result | Exception]
        try:
            results = await self._handle([item for item, _ in batch])
        except Exception as error:  # every caller hears of it
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
