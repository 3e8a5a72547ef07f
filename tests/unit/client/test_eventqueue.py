"""Events in the background: nobody waits, and one object cannot flood the store."""

from __future__ import annotations

import asyncio

from netemu.aio import FakeClock, spawn
from netemu.api import kinds
from netemu.client.eventqueue import AT_LATEST, BURST, LATER, EventQueue


class Recorder:
    """Stands where EventRecorder does, which has tests of its own."""

    def __init__(self):
        self.written = []
        self.times = []

    async def event(self, obj, resource, type, reason, message, *, at):
        await asyncio.sleep(0)
        self.times.append(at)
        self.written.append((obj["metadata"]["uid"], message))


def pod(uid):
    return {"metadata": {"name": uid, "namespace": "default", "uid": uid}}


async def drained(queue, clock):
    async with asyncio.TaskGroup() as group:
        task = spawn(group, queue.run(), name="events")
        await clock.advance(LATER, settle=1000)
        task.cancel()
    assert len(queue) == 0


async def test_all_are_written_in_order():
    recorder, clock = Recorder(), FakeClock()
    queue = EventQueue(recorder, clock)
    began = clock.now()
    for number in range(5):
        queue.event(pod("a"), kinds.PODS, "Normal", "Test", str(number))
        await clock.advance(1)
    assert recorder.written == []
    await drained(queue, clock)
    assert recorder.written == [("a", str(number)) for number in range(5)]
    assert recorder.times == [began + number for number in range(5)], (
        "when it was, not when written"
    )


async def test_one_object_gets_a_burst_and_then_a_trickle():
    recorder, clock = Recorder(), FakeClock()
    queue = EventQueue(recorder, clock)
    for number in range(100):
        queue.event(pod("loud"), kinds.PODS, "Normal", "Test", str(number))
    queue.event(pod("quiet"), kinds.PODS, "Normal", "Test", "heard")
    await drained(queue, clock)
    assert len(recorder.written) == BURST + 1
    assert recorder.written[-1] == ("quiet", "heard")
    await clock.advance(300)
    queue.event(pod("loud"), kinds.PODS, "Normal", "Test", "later")
    queue.event(pod("loud"), kinds.PODS, "Normal", "Test", "too soon")
    await drained(queue, clock)
    assert [message for _, message in recorder.written[-1:]] == ["later"]


async def test_a_burst_comes_first_and_routine_events_of_a_long_line_are_left_out():
    recorder, clock = Recorder(), FakeClock()
    queue = EventQueue(recorder, clock)
    async with asyncio.TaskGroup() as group:
        task = spawn(group, queue.run(), name="events")
        for number in range(300):
            one = pod(f"p{number}")
            queue.event(one, kinds.PODS, "Normal", "Started", "routine", routine=True)
        queue.event(pod("x"), kinds.PODS, "Warning", "Failed", "not routine")
        await clock.advance(LATER / 2)
        assert recorder.written == []
        await clock.advance(LATER, settle=2000)
        task.cancel()
    messages = [message for _, message in recorder.written]
    assert messages == ["routine"] * 256 + ["not routine"]


async def test_a_burst_is_over_when_nothing_new_comes():
    recorder, clock = Recorder(), FakeClock()
    queue = EventQueue(recorder, clock)
    async with asyncio.TaskGroup() as group:
        task = spawn(group, queue.run(), name="events")
        for number in range(4):
            queue.event(pod(f"p{number}"), kinds.PODS, "Normal", "Started", "")
            await clock.advance(LATER * 0.6)
        assert recorder.written == []
        await clock.advance(LATER)
        assert len(recorder.written) == 4
        task.cancel()


async def test_a_burst_without_an_end_is_told_of_all_the_same():
    recorder, clock = Recorder(), FakeClock()
    queue = EventQueue(recorder, clock)
    async with asyncio.TaskGroup() as group:
        task = spawn(group, queue.run(), name="events")
        for number in range(2 + int(AT_LATEST / LATER * 2)):
            queue.event(pod(f"p{number}"), kinds.PODS, "Normal", "Started", "")
            await clock.advance(LATER / 2)
        assert recorder.written
        task.cancel()
