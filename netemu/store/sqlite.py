"""The durable store: SQLite in WAL mode, one commit for all that is waiting.

A write is accepted and numbered in the loop's thread (`index`), committed (`writer`), and only then
delivered to watches and acknowledged. A write that is alone is committed on the spot; those of one
turn of the loop share a commit, and those that come while the writer's thread is at work. A crash
of this process loses no acknowledged write; a power cut may lose the last commits unless `fsync` is
set (PRAGMA synchronous).
https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from pathlib import Path
from typing import Any

from netemu.store import schema
from netemu.store.index import At, Change, Index
from netemu.store.mark import Mark, Reached
from netemu.store.protocol import (
    CompactedError,
    Deliver,
    Event,
    FutureRevisionError,
    Lost,
    Range,
    StoreError,
    Subscription,
    Txn,
)
from netemu.store.watches import Watches
from netemu.store.writer import Writer

log = logging.getLogger(__name__)

_COMPACT_STEP = 250


class SqliteStore:
    """A store in one file. `fsync`: also survive power cuts, at the disk's speed."""

    def __init__(self, path: Path, *, fsync: bool = False) -> None:
        self._path, self._fsync = path, fsync
        self._index = Index()
        self._watches = Watches()
        self._revision = 1
        self._compacted = 0
        self._mark = Mark(path)

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._load)
        self._writer = Writer(
            self._db,
            self._loop,
            self._mark.write,
            self._committed,
            self._failed,
            in_place=not self._fsync,
            log_bytes=self._left,
        )
        self._writer.start()

    def _load(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._require_whole(self._mark.read())
        self._left = schema.log_bytes(self._path)
        self._db = schema.connect(self._path, fsync=self._fsync)
        self._reader = schema.connect(self._path, fsync=False)
        self._reading = threading.Lock()
        self._revision = schema.newest(self._db)
        self._compacted = schema.compacted(self._db)
        try:
            self._mark.open(self._revision)
        except OSError as error:
            raise schema.damaged(self._mark.path, error) from error
        self._index = Index(self._revision)
        for key, create_rev, rev in self._db.execute(
            "SELECT cur.key, log.create_rev, rev FROM cur JOIN log USING (rev)"
        ):
            self._index.load(key, At(create_rev, rev))

    def _require_whole(self, reached: Reached | None) -> None:
        """Refuse a damaged file, or one that lacks changes which a power cut cannot have taken."""
        newest = schema.inspect(self._path)
        if reached is None or newest == reached.revision:
            return
        if newest < reached.revision:
            power_cut = not (reached.same_boot or reached.closed or self._fsync)
            if not power_cut or not newest:
                raise self._short_of(reached.revision, newest)
            pairs = {"from": newest + 1, "to": reached.revision, "file": str(self._path)}
            log.warning("the last changes before a power cut are lost", extra={"kv": pairs})
        elif newest > reached.revision + schema.LARGEST_INSERT:
            raise self._short_of(reached.revision, newest)

    def _short_of(self, reached: int, newest: int) -> StoreError:
        return StoreError(
            f"{self._path}: damaged: it ends at revision {newest}, and {reached} was acknowledged",
            hint="restore it and its -wal file; or remove"
            f" {self._mark.path}, to go on with what is left",
        )

    async def close(self) -> None:
        """Commit what is waiting and close the file."""
        self._writer.flush()
        await asyncio.to_thread(self._writer.stop)
        await asyncio.sleep(0)  # let the last commits be delivered
        self._reader.close()
        self._db.close()
        self._mark.close(self._revision)

    async def run(self) -> None:
        """Nothing to keep going."""

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def shared(self) -> bool:
        return False

    async def newest(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    async def txn(self, key: str, expect: int | None, value: bytes | None, note: Any = None) -> Txn:
        change = self._index.accept(key, expect, value, note)
        if change is None:
            return Txn(False, self._index.mod_rev(key))
        try:
            done = self._writer.commit(change)
        except sqlite3.Error as error:
            self._index.undo(change)
            raise schema.damaged(self._path, error) from error
        if done:
            self._publish([change])
        else:
            future = self._loop.create_future()
            self._writer.submit(change, future)
            await future  # who is cancelled here has written all the same
        return Txn(True, change.revision)

    def _committed(self, changes: list[tuple[Change, asyncio.Future[None]]]) -> None:
        self._publish([change for change, _ in changes])
        for _, future in changes:
            if not future.done():
                future.set_result(None)

    def _publish(self, changes: list[Change]) -> None:
        self._revision = changes[-1].revision
        self._watches.publish(
            [Event(c.revision, c.key, c.value, None, c.create_rev, c.note) for c in changes]
        )

    def _failed(
        self, changes: list[tuple[Change, asyncio.Future[None]]], error: sqlite3.Error
    ) -> None:
        """Nothing of these happened. All later writes are among them, so the index can go back."""
        for change, future in reversed(changes):
            self._index.undo(change)
            if not future.done():
                future.set_exception(schema.damaged(self._path, error))

    async def range(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        self._check(revision or self._revision)
        return await asyncio.to_thread(self._range, prefix, after, limit, revision)

    def _range(self, prefix: str, after: str, limit: int, revision: int) -> Range:
        wanted = limit + 1 if limit else 0
        with self._reading:
            try:
                self._reader.execute("BEGIN")
                at = revision or schema.newest(self._reader)
                if revision:
                    rows = schema.rows_at(self._reader, prefix, after, wanted, revision)
                else:
                    rows = schema.rows(self._reader, prefix, after, wanted)
                floor = schema.compacted(self._reader)
            except sqlite3.Error as error:
                raise schema.damaged(self._path, error) from error
            finally:
                self._end_reading()
        if at < floor:
            raise CompactedError(floor)
        return Range(rows[:limit] if limit else rows, at, bool(limit) and len(rows) > limit)

    async def history(self, prefix: str, after: int) -> list[Event]:
        self._check(after)
        delivered = self._revision
        found = await asyncio.to_thread(self._history, prefix, after)
        return [event for event in found if event.revision <= delivered]

    def _history(self, prefix: str, after: int) -> list[Event]:
        with self._reading:
            try:
                self._reader.execute("BEGIN")
                found = schema.events(self._reader, prefix, after)
                floor = schema.compacted(self._reader)
            except sqlite3.Error as error:
                raise schema.damaged(self._path, error) from error
            finally:
                self._end_reading()
        if after < floor:
            raise CompactedError(floor)
        return found

    def _end_reading(self) -> None:
        if self._reader.in_transaction:
            self._reader.execute("COMMIT")

    def watch(self, prefix: str, deliver: Deliver, lost: Lost | None = None) -> Subscription:
        return self._watches.add(prefix, deliver, lost)

    async def compact(self, revision: int) -> None:
        """In small steps between commits, so that no write waits long."""
        if revision > self._revision:
            raise FutureRevisionError(revision, self._revision)
        while self._compacted < revision:
            target = min(revision, self._compacted + _COMPACT_STEP)
            self._compacted = target  # no new reader may start below it
            try:
                await self._writer.call(lambda db: schema.compact(db, revision, _COMPACT_STEP))
            except sqlite3.Error as error:
                raise schema.damaged(self._path, error) from error

    def _check(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevisionError(revision, self._revision)
        if revision < self._compacted:
            raise CompactedError(self._compacted)
