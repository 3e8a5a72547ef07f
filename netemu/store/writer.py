"""Who writes the store's file: the loop itself what is small and alone, a thread all else.

Handing a write to a thread and hearing of its commit costs several times the commit, which without
`fsync` is a few writes to the kernel's memory. So the first write of a turn of the loop is
committed in place, and what comes with it in the same turn by one commit at the beginning of the
next, before those who watch have run. Many or large writes are the thread's, and what comes while
it is at work: it commits all that waits at once. Only the thread waits for disks: it alone makes
checkpoints, and does odd jobs between two commits.
https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from netemu.store import schema
from netemu.store.index import Change

log = logging.getLogger(__name__)

Waiting = tuple[Change, "asyncio.Future[None]"]
Job = Callable[[sqlite3.Connection], Any]

_FEW = 32
_SMALL = 32 * 1024
"""More changes, or more bytes, are the thread's: the loop has other things to do."""
_CHECKPOINT_PAGES = 1000
"""In the log, about; it is SQLite's own measure. Whoever has the loop's thread cannot use SQLite's
automatic checkpoints: they come with any commit."""
_PAGE = 4096


class Writer:
    """`committed` and `failed` are called in the loop's thread, in the order of revisions.

    `mark` is told the revision of each commit first, by whoever made it.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        mark: Callable[[int], object],
        committed: Callable[[list[Waiting]], None],
        failed: Callable[[list[Waiting], sqlite3.Error], None],
        *,
        in_place: bool,
        log_bytes: int,
    ) -> None:
        """`in_place`: a commit does not wait for the disk, so the loop may make it.

        `log_bytes`: what a former process has left in the log.
        """
        self._db, self._loop = db, loop
        self._mark, self._committed, self._failed = mark, committed, failed
        self._waiting: deque[Waiting] = deque()  # append and popleft are atomic
        self._jobs: deque[tuple[Job, asyncio.Future[Any]]] = deque()
        self._in_place = in_place
        self._logged_bytes = log_bytes  # since the last checkpoint, as is the next
        self._logged_rows = -db.total_changes
        self._turn_taken = False  # there was a commit in place
        self._gathered: list[Waiting] = []  # what came after it in the same turn
        self._behind = 0  # changes that were submitted and are not delivered yet
        self._owned = threading.Lock()  # held by whoever uses the connection
        self._wake = threading.Event()
        self._stopping = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._db.execute("PRAGMA wal_autocheckpoint=0")
        self._thread.start()

    def stop(self) -> None:
        """Commit what is waiting, then end the thread (call from another thread)."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def commit(self, change: Change) -> bool:
        """Commit in place, in the loop's thread; False when that is not to be.

        sqlite3.Error when it failed. Nobody is told of it but the mark.
        """
        if not self._in_place or self._turn_taken or self._behind or not self._here([change]):
            return False
        self._turn_taken = True
        self._loop.call_soon(self.flush)
        return True

    def submit(self, change: Change, future: asyncio.Future[None]) -> None:
        """Commit it soon, after all that came before."""
        if self._turn_taken:
            self._gathered.append((change, future))
        else:
            self._hand_over([(change, future)])

    def flush(self) -> None:
        """The turn is over: commit what it brought."""
        gathered, self._gathered = self._gathered, []
        self._turn_taken = False
        if not gathered:
            return
        try:
            done = self._here([change for change, _ in gathered])
        except sqlite3.Error as error:
            self._failed(gathered, error)
            return
        if done:
            self._committed(gathered)
        else:
            self._hand_over(gathered)

    def _here(self, changes: list[Change]) -> bool:
        """Commit in place, unless that would keep the loop: there is much, or somebody at work."""
        if len(changes) > _FEW or _size(changes) > _SMALL or self._checkpoint_due():
            return False
        if not self._owned.acquire(blocking=False):
            return False
        try:
            self._insert(changes)
        finally:
            self._owned.release()
        return True

    def _hand_over(self, changes: list[Waiting]) -> None:
        self._behind += len(changes)
        self._waiting.extend(changes)
        if not self._wake.is_set():  # setting it again would take its lock for nothing
            self._wake.set()

    async def call(self, job: Job) -> Any:
        """Run `job` on the connection, between two commits."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.append((job, future))
        self._wake.set()
        return await future

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            stopping = self._stopping
            with self._owned:
                while (self._waiting and not self._broken) or self._jobs:
                    self._commit_all()
                    self._work()
                    if self._checkpoint_due():
                        self._checkpoint()
            if stopping:
                return

    def _commit_all(self) -> None:
        if self._broken or not self._waiting:
            return
        batch = [self._waiting.popleft()]
        while self._waiting and len(batch) < schema.LARGEST_INSERT:
            batch.append(self._waiting.popleft())
        try:
            self._insert([change for change, _ in batch])
        except sqlite3.Error as error:
            # What follows was numbered after what failed: it cannot be kept either.
            self._broken = True
            self._loop.call_soon_threadsafe(self._give_up, batch, error)
        else:
            self._loop.call_soon_threadsafe(self._deliver, batch)

    def _insert(self, changes: list[Change]) -> None:
        schema.insert(self._db, changes)
        self._mark(changes[-1].revision)
        self._logged_bytes += _size(changes)

    def _checkpoint_due(self) -> bool:
        rows = self._db.total_changes + self._logged_rows
        return rows + self._logged_bytes // _PAGE >= _CHECKPOINT_PAGES

    def _checkpoint(self) -> None:
        self._logged_bytes, self._logged_rows = 0, -self._db.total_changes
        try:
            schema.checkpoint(self._db)
        except sqlite3.Error as error:  # all is in the log, where it can stay until the next one
            log.warning("no checkpoint of the store", extra={"kv": {"error": str(error)}})

    def _deliver(self, batch: list[Waiting]) -> None:
        self._behind -= len(batch)
        self._committed(batch)

    def _give_up(self, batch: list[Waiting], error: sqlite3.Error) -> None:
        """In the loop's thread, where no write can be accepted meanwhile."""
        late = list(self._waiting)
        self._waiting.clear()
        self._behind = 0
        self._failed(batch + late, error)
        self._broken = False

    def _work(self) -> None:
        while self._jobs:
            job, future = self._jobs.popleft()
            try:
                result = job(self._db)
            except sqlite3.Error as error:
                self._loop.call_soon_threadsafe(_fail, future, error)
            else:
                self._loop.call_soon_threadsafe(_finish, future, result)


def _size(changes: list[Change]) -> int:
    return sum(len(change.value or b"") for change in changes)


def _finish(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
