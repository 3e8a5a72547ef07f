"""What the API server asks of a store: a small part of etcd's API, and etcd's promises.

One revision counts every change of every key. A value is written only when the key's revision is
still the one that the writer saw (compare and swap); a watch replays history and then follows. This
is what Kubernetes itself uses of etcd, so a real etcd can stand behind the same interface.

https://etcd.io/docs/v3.5/learning/api/ and https://github.com/k3s-io/kine
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from netemu.errors import NetemuError


class StoreError(NetemuError):
    """The store cannot do what was asked: the disk is full, the file is damaged, etcd is away."""


class CompactedError(StoreError):
    """History before `floor` is gone: list again and watch from there."""

    def __init__(self, floor: int) -> None:
        super().__init__(f"the required revision has been compacted, the oldest is {floor}")
        self.floor = floor


class FutureRevisionError(StoreError):
    """The revision asked for has not happened yet."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} is a future one, the store is at {current}")
        self.revision, self.current = revision, current


class Row(NamedTuple):
    """One key as it was at some revision. `mod_rev` is that of its last change."""

    key: str
    value: bytes
    create_rev: int
    mod_rev: int


class Range(NamedTuple):
    """A page of rows in key order; `more` when the limit cut it off."""

    rows: list[Row]
    revision: int
    more: bool


class Event(NamedTuple):
    """One change. `value` is None when the key was deleted.

    `prev_value` is what was there before; only `history` tells it, a watcher has seen it.
    `note` is what the writer gave to `txn` (the decoded object, so that nobody has to decode it
    again) where the store is in this process; a remote one may bring None.
    """

    revision: int
    key: str
    value: bytes | None
    prev_value: bytes | None
    create_rev: int
    note: Any


class Txn(NamedTuple):
    """What a transaction did. Not `succeeded`: `revision` is the key's present one, 0 if absent."""

    succeeded: bool
    revision: int


Deliver = Callable[[Sequence[Event]], None]
"""Gets the events of a commit, in order; none when it touched other keys. Sync and quick."""

Lost = Callable[[], None]
"""Told that events are missing: a shared store was compacted while it could not be reached."""


class Subscription(Protocol):
    def cancel(self) -> None: ...


class Store(Protocol):
    """All methods are called from the loop's thread. Keys are compared as UTF-8 bytes."""

    @property
    def revision(self) -> int:
        """The newest revision whose events were delivered."""

    @property
    def shared(self) -> bool:
        """Whether others write to it as well: what was delivered need not be the newest then."""

    async def newest(self) -> int:
        """The revision of the last commit of all, which may not have been delivered yet."""

    @property
    def compacted(self) -> int:
        """History is complete after this revision."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def run(self) -> None:
        """What the store needs to keep going, until cancelled; runs while it is used."""

    async def txn(self, key: str, expect: int | None, value: bytes | None, note: Any = None) -> Txn:
        """Put `value` (None: delete) if the key's mod_rev is `expect`.

        `expect` 0: only if the key is absent; None: whatever it is. Returns when the change is
        committed and every watch got its event; a delete of an absent key does not succeed.
        """

    async def range(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        """Rows below `prefix` with keys greater than `after`, as of `revision` (0: now)."""

    async def history(self, prefix: str, after: int) -> list[Event]:
        """All events below `prefix` later than revision `after`, up to now, without notes."""

    def watch(self, prefix: str, deliver: Deliver, lost: Lost | None = None) -> Subscription:
        """Call `deliver` for every commit from now on, with what it did below `prefix`.

        After `lost` was called, what is below `prefix` must be read again; `deliver` goes on.
        """

    async def compact(self, revision: int) -> None:
        """Forget what was superseded at or before `revision`."""
