"""Many writes at once, growing like client-go's slow start batch.

When every create is refused (a quota, a bad template), the first refusal is enough: 1, 2, 4, …
writes run side by side, and a batch with an error is the last one.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/replicaset/replica_set.go
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from netemu.errors import ApiError

T = TypeVar("T")


async def apply_side_by_side(
    items: Sequence[T], write: Callable[[T], Awaitable[None]]
) -> list[ApiError]:
    """Write all `items` at once; the errors that came back, in the items' order."""
    if len(items) == 1:
        try:
            await write(items[0])
        except ApiError as error:
            return [error]
        return []
    results = await asyncio.gather(*map(write, items), return_exceptions=True)
    errors = []
    for result in results:
        if isinstance(result, ApiError):
            errors.append(result)
        elif isinstance(result, BaseException):
            raise result
    return errors


async def apply_slow_start(
    items: Sequence[T], write: Callable[[T], Awaitable[None]], *, first: int = 1
) -> list[ApiError]:
    """Write `items` in doubling batches; stop after the first batch with an error."""
    start, size = 0, first
    while start < len(items):
        errors = await apply_side_by_side(items[start : start + size], write)
        if errors:
            return errors
        start, size = start + size, size * 2
    return []
