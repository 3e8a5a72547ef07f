"""Every task has an owner and a name.

asyncio keeps only weak references to tasks, and an exception in a task nobody awaits is lost
(https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task). So tasks are spawned into
a TaskGroup, which holds them, ends them together, and raises what one of them raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Component(Protocol):
    """Something that runs until it is cancelled: an informer, a controller, a node agent."""

    async def run(self) -> None: ...


def spawn(
    group: asyncio.TaskGroup, coroutine: Coroutine[Any, Any, T], *, name: str
) -> asyncio.Task[T]:
    """Start `coroutine` in `group`; the group owns it."""
    return group.create_task(coroutine, name=name)
