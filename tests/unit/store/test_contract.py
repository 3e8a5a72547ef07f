"""What every store promises (netemu/store/protocol.py)."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netemu.store.etcd import EtcdStore
from netemu.store.memory import MemoryStore
from netemu.store.protocol import CompactedError, Event, FutureRevisionError, Store
from netemu.store.sqlite import SqliteStore


def brief(events):
    return [(event.revision, event.key, event.value) for event in events]


async def test_revisions_are_dense_and_shared_by_all_keys(store: Store):
    assert store.revision == 1
    assert (await store.txn("/a", 0, b"1")).revision == 2
    assert (await store.txn("/b", 0, b"2")).revision == 3
    assert (await store.txn("/a", None, None)).revision == 4
    assert store.revision == 4


async def test_a_lost_race_changes_nothing_and_tells_the_present_revision(store: Store):
    first = await store.txn("/a", 0, b"1")
    assert await store.txn("/a", 0, b"2") == (False, first.revision)
    assert await store.txn("/a", first.revision + 5, b"2") == (False, first.revision)
    assert await store.txn("/missing", 7, b"2") == (False, 0)
    assert await store.txn("/missing", None, None) == (False, 0)
    assert [row.value for row in (await store.range("/")).rows] == [b"1"]
    assert store.revision == first.revision


async def test_the_newest_revision_is_the_last_commits(store: Store):
    done = await store.txn("/a", 0, b"0")
    assert await store.newest() == done.revision


async def test_two_writers_of_one_key_one_wins(store: Store):
    at = (await store.txn("/a", 0, b"0")).revision
    done = await asyncio.gather(*(store.txn("/a", at, b"%d" % i) for i in range(20)))
    assert sum(one.succeeded for one in done) == 1


async def test_range_is_in_key_order_and_pages(store: Store):
    for key in ("/p/b", "/p/a", "/p/c", "/q/a", "/p/a/x"):
        await store.txn(key, 0, key.encode())
    first = await store.range("/p/", limit=2)
    assert ([row.key for row in first.rows], first.more) == (["/p/a", "/p/a/x"], True)
    second = await store.range("/p/", after="/p/a/x", limit=2)
    assert ([row.key for row in second.rows], second.more) == (["/p/b", "/p/c"], False)


async def test_range_at_an_old_revision(store: Store):
    await store.txn("/a", 0, b"1")
    at = (await store.txn("/b", 0, b"1")).revision
    await store.txn("/a", None, b"2")
    await store.txn("/b", None, None)
    await store.txn("/b", 0, b"again")
    await store.txn("/c", 0, b"new")
    then = await store.range("/", revision=at)
    assert [(row.key, row.value, row.mod_rev) for row in then.rows] == [
        ("/a", b"1", 2),
        ("/b", b"1", 3),
    ]
    assert then.revision == at
    paged = await store.range("/", revision=at, after="/a", limit=1)
    assert ([row.key for row in paged.rows], paged.more) == (["/b"], False)
    with pytest.raises(FutureRevisionError):
        await store.range("/", revision=99)


async def test_a_watch_sees_every_commit_below_its_prefix_before_the_ack(store: Store):
    seen: list[Event] = []
    watch = store.watch("/a/", seen.extend)
    note = {"decoded": True}
    done = await store.txn("/a/1", 0, b"x", note)
    assert seen[-1].revision == done.revision
    assert seen[-1].note is note or isinstance(store, EtcdStore)
    await store.txn("/b/1", 0, b"y")
    await store.txn("/a/1", None, None)
    watch.cancel()
    await store.txn("/a/2", 0, b"z")
    assert brief(seen) == [(2, "/a/1", b"x"), (4, "/a/1", None)]
    assert seen[1].create_rev == 2


async def test_history_replays_with_previous_values(store: Store):
    await store.txn("/a", 0, b"1")
    await store.txn("/a", None, b"2")
    await store.txn("/b", 0, b"3")
    await store.txn("/a", None, None)
    found = await store.history("/a", 2)
    assert [(e.revision, e.value, e.prev_value) for e in found] == [
        (3, b"2", b"1"),
        (5, None, b"2"),
    ]
    with pytest.raises(FutureRevisionError):
        await store.history("/a", 6)


async def test_compaction_keeps_the_present_and_what_the_floor_shows(store: Store):
    await store.txn("/a", 0, b"1")
    await store.txn("/a", None, b"2")
    floor = (await store.txn("/gone", 0, b"x")).revision
    await store.txn("/gone", None, None)
    await store.txn("/a", None, b"3")
    await store.compact(floor)
    assert [row.value for row in (await store.range("/", revision=floor)).rows] == [b"2", b"x"]
    assert [(e.value, e.prev_value) for e in await store.history("/", floor)] == [
        (None, b"x"),
        (b"3", b"2"),
    ]
    with pytest.raises(CompactedError):
        await store.history("/", floor - 1)
    with pytest.raises(CompactedError):
        await store.range("/", revision=floor - 1)
    with pytest.raises(FutureRevisionError):
        await store.compact(99)
    assert [row.value for row in (await store.range("/")).rows] == [b"3"]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.binary(max_size=3) | st.none()),
        st.integers(1, 40),  # compact so far
    ),
    max_size=40,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS)
async def test_both_stores_agree_on_everything(actions, tmp_path_factory):
    memory = MemoryStore()
    sqlite = SqliteStore(tmp_path_factory.mktemp("db") / "store.db")
    await sqlite.open()
    try:
        for action in actions:
            if isinstance(action, int):
                for store in (memory, sqlite):
                    await store.compact(min(action, memory.revision))
            else:
                key, value = action
                done = [await store.txn(f"/{key}", None, value) for store in (memory, sqlite)]
                assert done[0] == done[1]
        assert memory.compacted == sqlite.compacted
        for revision in range(max(memory.compacted, 1), memory.revision + 1):
            assert await memory.range("/", revision=revision) == await sqlite.range(
                "/", revision=revision
            )
            assert await memory.history("/", revision) == await sqlite.history("/", revision)
    finally:
        await sqlite.close()
