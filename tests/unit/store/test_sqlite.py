"""What only the durable store promises."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from netemu.store.protocol import StoreError, Txn
from netemu.store.sqlite import SqliteStore


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


async def test_everything_is_there_after_reopening(tmp_path: Path):
    path = tmp_path / "s.db"
    store = await opened(path)
    await store.txn("/a", 0, b"1")
    await store.txn("/a", None, b"2")
    await store.txn("/b", 0, b"3")
    await store.txn("/b", None, None)
    await store.compact(2)
    await store.close()
    store = await opened(path)
    assert (store.revision, store.compacted) == (5, 2)
    assert [(r.key, r.value, r.create_rev) for r in (await store.range("/")).rows] == [
        ("/a", b"2", 2)
    ]
    assert len(await store.history("/", 2)) == 3
    assert (await store.txn("/a", 3, b"4")).succeeded
    await store.close()


async def test_concurrent_writes_share_commits_and_keep_their_order(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    commits: list[list[int]] = []
    store.watch("/", lambda events: commits.append([event.revision for event in events]))
    await asyncio.gather(*(store.txn(f"/{i}", 0, b"x") for i in range(1000)))
    assert [revision for commit in commits for revision in commit] == list(range(2, 1002))
    assert len(commits) < 500
    await store.close()


async def test_a_write_that_is_alone_is_there_without_a_turn_of_the_loop(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    seen: list[int] = []
    store.watch("/", lambda events: seen.extend(event.revision for event in events))
    with pytest.raises(StopIteration) as done:
        store.txn("/a", 0, b"1").send(None)
    assert done.value.value.revision == 2 and seen == [2]
    assert [row.value for row in (await store.range("/")).rows] == [b"1"]
    await store.close()


async def test_writes_of_one_turn_share_a_commit(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    commits: list[list[int]] = []
    store.watch("/", lambda events: commits.append([event.revision for event in events]))
    await asyncio.gather(*(store.txn(f"/{i}", 0, b"x") for i in range(10)))
    assert commits == [[2], list(range(3, 12))]
    await store.close()


async def test_what_was_accepted_is_committed_when_the_store_closes(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    async with asyncio.TaskGroup() as group:
        for i in range(3):
            group.create_task(store.txn(f"/{i}", 0, b"x"))
        await asyncio.sleep(0)  # the first is committed, the others wait for the turn's end
        await store.close()
    store = await opened(tmp_path / "s.db")
    assert [row.key for row in (await store.range("/")).rows] == ["/0", "/1", "/2"]
    await store.close()


async def test_a_full_disk_fails_all_writes_of_a_commit(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    await store.txn("/a", 0, b"1")
    await asyncio.sleep(0)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages + 3}")
    writes = (store.txn(f"/big{i}", 0, b"x" * 4000) for i in range(8))
    first, *others = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(first, Txn) and first.revision == store.revision == 3
    assert all(isinstance(other, StoreError) for other in others)
    store._db.execute("PRAGMA max_page_count=100000")
    assert (await store.txn("/after", 0, b"1")).revision == 4
    assert [event.revision for event in await store.history("/", 1)] == [2, 3, 4]
    await store.close()


@pytest.mark.parametrize("alone", [True, False])
async def test_the_log_does_not_grow_with_every_commit(tmp_path: Path, alone: bool):
    path = tmp_path / "s.db"
    store = await opened(path)
    for i in range(1200):
        await store.txn("/a", None, f"{i}".encode())
        if alone:
            await asyncio.sleep(0)
    pages = Path(f"{path}-wal").stat().st_size // 4096
    assert pages < 2000  # 1200 commits of three pages and more, but for checkpoints
    await store.close()


async def test_with_fsync_the_loop_never_waits_for_the_disk(tmp_path: Path):
    store = SqliteStore(tmp_path / "s.db", fsync=True)
    await store.open()
    loops_thread, committing = threading.get_ident(), set()
    store._db.set_trace_callback(
        lambda statement: (
            committing.add(threading.get_ident())
            if statement.startswith("INSERT INTO log")
            else None
        )
    )
    assert (await store.txn("/a", 0, b"1")).revision == 2
    assert committing and loops_thread not in committing
    await store.close()


async def test_writes_of_all_sizes_keep_their_order(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    seen: list[int] = []
    store.watch("/", lambda events: seen.extend(event.revision for event in events))
    for size in (1, 100_000, 1, 1, 100_000, 1):
        await asyncio.gather(*(store.txn(f"/{i}", None, b"x" * size) for i in range(3)))
        await store.txn("/alone", None, b"x" * size)
    assert seen == list(range(2, 26))
    await store.close()


async def test_a_full_disk_fails_a_write_that_is_alone(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    await store.txn("/a", 0, b"1")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="full"):
        await store.txn("/b", 0, b"x" * 10_000)
    store._db.execute("PRAGMA max_page_count=100000")
    assert (await store.txn("/b", 0, b"1")).revision == 3
    await store.close()


async def test_a_full_disk_fails_the_write_and_nothing_else(tmp_path: Path):
    store = await opened(tmp_path / "s.db")
    await store.txn("/a", 0, b"1")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages + 2}")
    results = await asyncio.gather(
        *(store.txn(f"/big{i}", 0, b"x" * 50_000) for i in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, StoreError) for result in results)
    assert "full" in str(results[0]) and "space" in results[0].hint
    assert store.revision == 2
    store._db.execute("PRAGMA max_page_count=100000")
    assert (await store.txn("/after", 0, b"1")).revision == 3
    await store.close()
    store = await opened(tmp_path / "s.db")
    assert [row.key for row in (await store.range("/")).rows] == ["/a", "/after"]
    await store.close()


async def test_a_damaged_file_is_refused_not_emptied(tmp_path: Path):
    path = tmp_path / "s.db"
    store = await opened(path)
    for i in range(200):
        await store.txn(f"/{i}", 0, b"x" * 2000)
    await store.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40_000] = b"\xff" * 40_000
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"s\.db") as caught:
        await opened(path)
    assert caught.value.hint
    assert path.read_bytes() == data


async def test_a_torn_tail_of_the_log_loses_only_what_was_not_committed(tmp_path: Path):
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store = await opened(path)
    await store.txn("/a", 0, b"1")
    await store.txn("/b", 0, b"2")
    copy.write_bytes(path.read_bytes())
    wal = Path(f"{path}-wal").read_bytes()
    Path(f"{copy}-wal").write_bytes(wal + wal[-2000:])  # a half-written frame after the commit
    await store.close()
    store = await opened(copy)
    assert [row.key for row in (await store.range("/")).rows] == ["/a", "/b"]
    await store.close()


async def test_another_schema_is_refused(tmp_path: Path):
    path = tmp_path / "s.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="another version"):
        await opened(path)
