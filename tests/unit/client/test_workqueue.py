import asyncio

import pytest

from netemu.aio import FakeClock, spawn
from netemu.client.workqueue import WorkQueue


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_key_waits_once_however_often_it_is_added(clock):
    queue = WorkQueue(clock)
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_is_never_worked_on_twice_at_once(clock):
    queue = WorkQueue(clock)
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_failures_come_back_later_and_later(clock):
    queue = WorkQueue(clock, base_delay=1, max_delay=3)
    for delay in (1, 2, 3, 3):
        queue.add_rate_limited("a")
        async with asyncio.TaskGroup() as group:
            getting = spawn(group, queue.get(), name="get")
            await clock.advance(delay - 0.1)
            assert not getting.done()
            await clock.advance(0.2)
            assert getting.result() == "a"
        queue.done("a")
    queue.forget("a")
    assert queue.failures("a") == 0


async def test_a_shorter_delay_overtakes_a_longer_one(clock):
    queue = WorkQueue(clock)
    queue.add_after("late", 10)
    async with asyncio.TaskGroup() as group:
        getting = spawn(group, queue.get(), name="get")
        await clock.advance(1)
        queue.add_after("soon", 1)
        await clock.advance(1.5)
        assert getting.result() == "soon"


async def test_each_of_several_workers_gets_one(clock):
    queue = WorkQueue(clock)
    async with asyncio.TaskGroup() as group:
        workers = [spawn(group, queue.get(), name="get") for _ in range(3)]
        await asyncio.sleep(0)
        for key in "xyz":
            queue.add(key)
    assert sorted(worker.result() for worker in workers) == ["x", "y", "z"]


async def test_a_cancelled_getter_loses_nothing(clock):
    queue = WorkQueue(clock)
    async with asyncio.TaskGroup() as group:
        first = spawn(group, queue.get(), name="get")
        await asyncio.sleep(0)
        first.cancel()
    queue.add("a")
    assert await asyncio.wait_for(queue.get(), 60) == "a"
