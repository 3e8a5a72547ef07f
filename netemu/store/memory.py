"""A store that forgets: for tests, and for clusters that need not outlive their daemon."""

from __future__ import annotations

from typing import Any

from netemu.store.index import Change, Index
from netemu.store.protocol import (
    CompactedError,
    Deliver,
    Event,
    FutureRevisionError,
    Lost,
    Range,
    Row,
    Subscription,
    Txn,
)
from netemu.store.watches import Watches


class MemoryStore:
    """Everything in dictionaries; the same promises as the others."""

    def __init__(self) -> None:
        self._index = Index()
        self._log: dict[int, Change] = {}  # in the order of revisions
        self._rows: dict[str, Row] = {}
        self._watches = Watches()
        self._compacted = 0

    async def run(self) -> None:
        """Nothing to keep going."""

    @property
    def revision(self) -> int:
        return self._index.revision

    @property
    def shared(self) -> bool:
        return False

    async def newest(self) -> int:
        return self._index.revision

    @property
    def compacted(self) -> int:
        return self._compacted

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def txn(self, key: str, expect: int | None, value: bytes | None, note: Any = None) -> Txn:
        change = self._index.accept(key, expect, value, note)
        if change is None:
            return Txn(False, self._index.mod_rev(key))
        self._log[change.revision] = change._replace(note=None)
        if value is None:
            del self._rows[key]
        else:
            self._rows[key] = Row(key, value, change.create_rev, change.revision)
        self._watches.publish([_event(change, None)])
        return Txn(True, change.revision)

    async def range(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        at = revision or self.revision
        self._check(at)
        rows = {key: row for key, row in self._rows.items() if key.startswith(prefix)}
        for change in reversed(self._log.values()):
            if change.revision <= at:
                break
            if change.key.startswith(prefix):
                self._rewind(rows, change)
        found = sorted(row for key, row in rows.items() if key > after)
        return Range(found[:limit] if limit else found, at, bool(limit) and len(found) > limit)

    def _rewind(self, rows: dict[str, Row], change: Change) -> None:
        if change.before is None:
            rows.pop(change.key, None)
        else:
            old = self._log[change.before.mod_rev]
            assert old.value is not None
            rows[change.key] = Row(change.key, old.value, old.create_rev, old.revision)

    async def history(self, prefix: str, after: int) -> list[Event]:
        self._check(after)
        return [
            _event(change, self._previous(change))
            for change in self._log.values()
            if change.revision > after and change.key.startswith(prefix)
        ]

    def _previous(self, change: Change) -> bytes | None:
        return self._log[change.before.mod_rev].value if change.before else None

    def watch(self, prefix: str, deliver: Deliver, lost: Lost | None = None) -> Subscription:
        return self._watches.add(prefix, deliver, lost)

    async def compact(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevisionError(revision, self.revision)
        for change in [c for c in self._log.values() if c.revision <= revision]:
            if change.before:
                self._log.pop(change.before.mod_rev, None)
            if change.value is None:
                del self._log[change.revision]
        self._compacted = max(self._compacted, revision)

    def _check(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevisionError(revision, self.revision)
        if revision < self._compacted:
            raise CompactedError(self._compacted)


def _event(change: Change, previous: bytes | None) -> Event:
    return Event(
        change.revision, change.key, change.value, previous, change.create_rev, change.note
    )
