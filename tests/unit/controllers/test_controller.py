"""The shared loop: retries, rests, timers, and keys that wait for their own writes."""

from __future__ import annotations

import asyncio

import pytest

from netemu.aio import FakeClock, spawn
from netemu.client.informers import Informers
from netemu.config.cluster import ClusterConfig
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.errors import ApiError, TerminalError


class Probe(Controller):
    name = "probe"
    workers = 4

    def __init__(self, context):
        super().__init__(context)
        self.looks = []
        self.answer = lambda key: None
        self.rest = 0.0

    def pause(self, key):
        return self.rest

    async def reconcile(self, key):
        self.looks.append((self.clock.monotonic() - START, key))
        return self.answer(key)


START = FakeClock().now()


@pytest.fixture
async def probe():
    clock = FakeClock()
    context = ControllerContext(
        client=None, informers=Informers(None), clock=clock, events=None, config=ClusterConfig()
    )
    controller = Probe(context)
    async with asyncio.TaskGroup() as group:
        task = spawn(group, controller.run(), name="probe")
        yield controller
        task.cancel()


async def test_a_burst_of_events_is_one_look(probe):
    for _ in range(10):
        probe.enqueue("a")
    await probe.clock.advance(0)
    assert probe.looks == [(0.0, "a")]


async def test_a_resting_key_is_looked_at_once_when_its_rest_is_over(probe):
    probe.rest = 2.0
    probe.enqueue("a")
    await probe.clock.advance(0.5)
    for _ in range(5):
        probe.enqueue("a")
        await probe.clock.advance(0.1)
    assert len(probe.looks) == 1
    assert probe.held == 1
    await probe.clock.advance(5)
    assert probe.looks == [(0.0, "a"), (2.0, "a")]


async def test_who_is_waited_for_does_not_rest(probe):
    probe.rest = 2.0
    probe.enqueue("a")
    await probe.clock.advance(0.5)
    probe.hurry()
    await probe.clock.advance(0)
    assert len(probe.looks) == 1, "it has nothing to do"
    probe.enqueue("a")
    await probe.clock.advance(0)
    assert len(probe.looks) == 1
    probe.hurry()
    await probe.clock.advance(0)
    assert probe.looks == [(0.0, "a"), (0.5, "a")]
    assert probe.held == 0


async def test_errors_are_tried_again_ever_later(probe):
    def fail(key):
        raise ApiError("InternalError", "no")

    probe.answer = fail
    probe.enqueue("a")
    await probe.clock.advance(1)
    times = [moment for moment, _ in probe.looks]
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert len(gaps) >= 4
    assert gaps == sorted(gaps)


async def test_a_bug_does_not_end_the_loop(probe, caplog):
    probe.answer = lambda key: {}[key]
    probe.enqueue("bad")
    await probe.clock.advance(0)
    probe.answer = lambda key: None
    probe.enqueue("good")
    await probe.clock.advance(0)
    assert probe.looks[-1][1] == "good"
    assert "reconcile failed" in caplog.text


async def test_a_terminal_error_waits_for_an_event(probe):
    def give_up(key):
        raise TerminalError("hopeless")

    probe.answer = give_up
    probe.enqueue("a")
    await probe.clock.advance(100)
    assert len(probe.looks) == 1


async def test_timers_do_not_pile_up(probe):
    probe.answer = lambda key: 10.0
    for _ in range(20):
        probe.enqueue("a")
        await probe.clock.advance(0.1)
    before = len(probe.looks)
    await probe.clock.advance(100)
    assert len(probe.looks) - before == 10


async def test_an_earlier_timer_wins(probe):
    waits = iter([50.0, 5.0])
    probe.answer = lambda key: next(waits, None)
    probe.enqueue("a")
    await probe.clock.advance(1)
    probe.enqueue("a")
    await probe.clock.advance(5)
    assert [moment for moment, _ in probe.looks] == [0.0, 1.0, 6.0]
