"""The thread that owns the store's file: group commit, and odd jobs between two commits.

https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from netemu.store import schema
from netemu.store.index import Change

Waiting = tuple[Change, "asyncio.Future[None]"]
Job = Callable[[sqlite3.Connection], Any]


class Writer:
    """`committed` and `failed` are called in the loop's thread, in the order of revisions.

    `mark` is told the revision of each commit first, here.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        mark: Callable[[int], object],
        committed: Callable[[list[Waiting]], None],
        failed: Callable[[list[Waiting], sqlite3.Error], None],
    ) -> None:
        self._db, self._loop = db, loop
        self._mark, self._committed, self._failed = mark, committed, failed
        self._waiting: deque[Waiting] = deque()  # append and popleft are atomic
        self._jobs: deque[tuple[Job, asyncio.Future[Any]]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what is waiting, then end the thread (call from another thread)."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def submit(self, change: Change, future: asyncio.Future[None]) -> None:
        self._waiting.append((change, future))
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
            while (self._waiting and not self._broken) or self._jobs:
                self._commit()
                self._work()
            if stopping:
                return

    def _commit(self) -> None:
        if self._broken or not self._waiting:
            return
        batch = [self._waiting.popleft()]
        while self._waiting and len(batch) < schema.LARGEST_INSERT:
            batch.append(self._waiting.popleft())
        try:
            schema.insert(self._db, [change for change, _ in batch])
        except sqlite3.Error as error:
            # What follows was numbered after what failed: it cannot be kept either.
            self._broken = True
            self._loop.call_soon_threadsafe(self._give_up, batch, error)
        else:
            self._mark(batch[-1][0].revision)
            self._loop.call_soon_threadsafe(self._committed, batch)

    def _give_up(self, batch: list[Waiting], error: sqlite3.Error) -> None:
        """In the loop's thread, where no write can be accepted meanwhile."""
        late = list(self._waiting)
        self._waiting.clear()
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


def _finish(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
