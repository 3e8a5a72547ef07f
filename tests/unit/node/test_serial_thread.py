from __future__ import annotations

import asyncio
import threading

import pytest

from netemu.aio import spawn
from netemu.node.serial_thread import SerialThread


async def test_results_and_errors_come_back() -> None:
    thread = SerialThread("t")
    assert await thread.do(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await thread.do(int, "x")
    thread.close()


async def test_work_given_up_does_not_overlap_with_the_next() -> None:
    thread, begun, go_on = SerialThread("t"), threading.Event(), threading.Event()
    order = []

    def slow() -> None:
        begun.set()
        go_on.wait(60)
        order.append("slow")

    async with asyncio.TaskGroup() as group:
        task = spawn(group, thread.do(slow), name="slow")
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
    following = asyncio.gather(thread.do(order.append, "next"))
    go_on.set()
    await following
    assert order == ["slow", "next"]
    thread.close()


async def test_closing_waits_for_the_work_in_hand_and_drops_the_rest() -> None:
    thread, begun, go_on = SerialThread("t"), threading.Event(), threading.Event()
    order = []

    def slow() -> None:
        begun.set()
        go_on.wait(60)
        order.append("slow")

    async with asyncio.TaskGroup() as group:
        first = spawn(group, thread.do(slow), name="first")
        second = spawn(group, thread.do(order.append, "second"), name="second")
        await asyncio.to_thread(begun.wait, 60)
        first.cancel()
        second.cancel()
    threading.Timer(0.01, go_on.set).start()
    thread.close()
    assert order == ["slow"]


async def test_work_after_closing_starts_a_new_thread() -> None:
    thread = SerialThread("t")
    first = await thread.do(threading.current_thread)
    thread.close()
    assert not first.is_alive()
    assert await thread.do(threading.current_thread) is not first
    thread.close()
