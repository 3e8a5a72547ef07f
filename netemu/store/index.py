"""Which revision every key is at, including writes that are not committed yet.

Revisions are given out here, in the loop's thread, so that a compare-and-swap never waits for the
disk; the disk follows in the same order. When a commit fails, `undo` takes the writes back.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class At(NamedTuple):
    """Where a key is: created at, last changed at."""

    create_rev: int
    mod_rev: int


class Change(NamedTuple):
    """One accepted write, on its way to the disk."""

    revision: int
    key: str
    value: bytes | None
    note: Any
    create_rev: int
    before: At | None


class Index:
    def __init__(self, revision: int = 1) -> None:
        self.revision = revision
        self._at: dict[str, At] = {}

    def load(self, key: str, at: At) -> None:
        self._at[key] = at

    def mod_rev(self, key: str) -> int:
        at = self._at.get(key)
        return at.mod_rev if at else 0

    def accept(self, key: str, expect: int | None, value: bytes | None, note: Any) -> Change | None:
        """Give the write its revision, or None when the key is not at `expect`."""
        before = self._at.get(key)
        present = before.mod_rev if before else 0
        if (expect is not None and expect != present) or (value is None and before is None):
            return None
        self.revision += 1
        created = before.create_rev if before else self.revision
        if value is None:
            del self._at[key]
        else:
            self._at[key] = At(created, self.revision)
        return Change(self.revision, key, value, note, created, before)

    def undo(self, change: Change) -> None:
        """Take back the newest change; call in reverse order."""
        if change.before is None:
            self._at.pop(change.key, None)
        else:
            self._at[change.key] = change.before
        self.revision = change.revision - 1
