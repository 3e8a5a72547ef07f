from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from netemu.aio import spawn
from netemu.node.kubelet.batcher import Batcher


class Doubling:
    """Doubles numbers in batches that the test lets go one by one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Semaphore(0)
        self.batcher = Batcher[int, int](self.handle, limit=4)

    async def handle(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        await self.gate.acquire()
        if 13 in items and 14 in items:
            raise RuntimeError("all of them")
        return [ValueError("13") if item == 13 else item * 2 for item in items]


@pytest.fixture
async def doubling() -> AsyncIterator[Doubling]:
    made = Doubling()
    async with asyncio.TaskGroup() as group:
        runner = spawn(group, made.batcher.run(), name="batcher")
        yield made
        runner.cancel()


async def test_what_comes_meanwhile_goes_into_the_next_batch(doubling: Doubling) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [spawn(group, doubling.batcher.submit(n), name="s") for n in range(7)]
        for _ in range(3):
            doubling.gate.release()
    assert [task.result() for task in tasks] == [0, 2, 4, 6, 8, 10, 12]
    assert doubling.batches == [[0, 1, 2, 3], [4, 5, 6]]


async def test_an_error_reaches_the_one_that_it_is_about(doubling: Doubling) -> None:
    doubling.gate.release()
    results = await asyncio.gather(
        doubling.batcher.submit(1), doubling.batcher.submit(13), return_exceptions=True
    )
    assert results[0] == 2 and isinstance(results[1], ValueError)


async def test_an_error_of_the_batch_reaches_all(doubling: Doubling) -> None:
    doubling.gate.release()
    results = await asyncio.gather(
        doubling.batcher.submit(14), doubling.batcher.submit(13), return_exceptions=True
    )
    assert [type(each) for each in results] == [RuntimeError, RuntimeError]
