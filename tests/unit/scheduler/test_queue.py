"""The waiting pods: order, rest and backoff."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netemu.scheduler.queue import LAST_BACKOFF, SchedulingQueue


def drain(queue, now=0.0):
    found = []
    while (pod := queue.pop(now)) is not None:
        found.append(pod)
    return found


def test_the_important_first_then_the_older(pod):
    queue = SchedulingQueue()
    low, old, new = pod(priority=0), pod(priority=5), pod(priority=5)
    for one in (low, new, old):
        queue.add(one)
    assert [p.name for p in drain(queue)] == [old.name, new.name, low.name]


def test_what_fits_nowhere_rests_until_something_changes(pod):
    queue = SchedulingQueue()
    queue.add(pod("x"))
    failed = queue.pop(0.0)
    queue.failed(failed, 0.0)
    assert drain(queue, 100.0) == []
    queue.wake(100.0)
    assert [p.name for p in drain(queue, 100.0)] == ["x"]


def test_attempts_are_spaced_out_but_never_too_far(pod):
    queue = SchedulingQueue()
    queue.add(pod("x"))
    now, waits = 0.0, []
    for _ in range(14):
        found = queue.pop(now)
        queue.failed(found, now)
        queue.wake(now)
        assert queue.pop(now) is None
        waits.append(queue.next_due() - now)
        now = queue.next_due()
    assert waits == sorted(waits)
    assert waits[0] < 0.1
    assert waits[-1] == LAST_BACKOFF


def test_a_removed_pod_is_not_tried(pod):
    queue = SchedulingQueue()
    gone, kept = pod("gone"), pod("kept")
    queue.add(gone)
    queue.add(kept)
    queue.remove(gone.uid)
    assert [p.name for p in drain(queue)] == ["kept"]
    assert len(queue) == 0


@given(st.lists(st.sampled_from(["add", "pop", "fail", "wake", "remove"]), max_size=60))
def test_no_pod_is_lost_or_given_twice(steps):
    from dataclasses import dataclass

    @dataclass
    class Pod:
        uid: str
        priority: int = 0
        created: str = ""

    queue, now = SchedulingQueue(), 0.0
    waiting, out = {}, {}
    for number, step in enumerate(steps):
        now += 0.5
        if step == "add":
            queue.add(Pod(f"p{number}"))
            waiting[f"p{number}"] = True
        elif step == "pop":
            found = queue.pop(now)
            if found is not None:
                assert waiting.pop(found.uid)
                out[found.uid] = found
        elif step == "fail" and out:
            uid, found = out.popitem()
            queue.failed(found, now)
            waiting[uid] = True
        elif step == "wake":
            queue.wake(now)
        elif step == "remove" and waiting:
            uid, _ = waiting.popitem()
            queue.remove(uid)
    queue.wake(now)
    assert {p.uid for p in drain(queue, now + 100)} == set(waiting)
