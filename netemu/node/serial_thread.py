"""Blocking work of one owner, in a thread of its own, one piece after the other.

Cancelling a coroutine does not stop the thread that works for it. With a thread shared by many
(asyncio.to_thread) the next call would then overlap with the one given up; here it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class SerialThread:
    """The thread starts with the first piece of work."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns. Given up before it began, it never runs."""
        return await asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))

    def close(self) -> None:
        """Wait for the work in hand, drop the rest, end the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
