"""One watch: what it selects, and the events that wait for its reader.

A reader that falls too far behind is cut off (it gets `Expired` and may come back with the revision
it has), so that memory stays bounded, as upstream's cacher does:
https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from netemu.api.kind import Kind, Object
from netemu.api.selectors import FieldSelector, LabelSelector
from netemu.errors import ApiError

ADDED, MODIFIED, DELETED, BOOKMARK = "ADDED", "MODIFIED", "DELETED", "BOOKMARK"
MOST_WAITING = 20_000


class Entry:
    """One object as it was at one revision, and its JSON once somebody needed it."""

    __slots__ = ("create_rev", "object", "revision", "wire")

    def __init__(self, obj: Object, revision: int, create_rev: int) -> None:
        self.object, self.revision, self.create_rev = obj, revision, create_rev
        self.wire: bytes | None = None


class Change(NamedTuple):
    """One change of one resource. A deletion's `entry` is the last state, at the new revision."""

    revision: int
    entry: Entry
    before: Entry | None
    deleted: bool


class Selected(NamedTuple):
    """An event as one watcher sees it; a BOOKMARK has no entry."""

    type: str
    entry: Entry | None
    revision: int


class Selection:
    """Namespace, labels and fields that a list or a watch asks for."""

    __slots__ = ("fields", "kind", "labels", "namespace", "plain")

    def __init__(
        self, kind: Kind, namespace: str, labels: LabelSelector, fields: FieldSelector
    ) -> None:
        self.kind, self.namespace, self.labels, self.fields = kind, namespace, labels, fields
        self.plain = labels.empty and fields.empty

    def matches(self, obj: Object) -> bool:
        """Whether labels and fields fit; the namespace is the caller's to check."""
        if self.plain:
            return True
        if not self.labels.matches(obj["metadata"].get("labels")):
            return False
        return self.fields.empty or self.fields.matches(field_values(self.kind, obj))


def field_values(kind: Kind, obj: Object) -> Mapping[str, str]:
    """The values of all field selectors of `obj`."""
    metadata = obj["metadata"]
    values = {"metadata.name": metadata["name"]}
    if kind.namespaced:
        values["metadata.namespace"] = metadata.get("namespace", "")
    return {**values, **kind.fields(obj)}


class Watcher:
    """Events wait here for one reader: `await ready()`, then `take()`."""

    def __init__(self, selection: Selection, revision: int, *, most: int = MOST_WAITING) -> None:
        self.selection = selection
        self.revision = revision
        """Every change up to it was looked at for this watcher."""
        self._most = most
        self._waiting: deque[Selected] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._error: ApiError | None = None
        self.on_cut: Callable[[], None] | None = None
        """Called when the reader is cut off for being too slow."""

    def offer(self, change: Change) -> None:
        """Queue the change as this watcher sees it: a change of labels may let it in or out."""
        if change.revision <= self.revision:
            return
        wanted, there = self.selection.namespace, change.entry.object["metadata"].get("namespace")
        if wanted and wanted != there:
            return
        matches = self.selection.matches
        before = change.before is not None and matches(change.before.object)
        now = not change.deleted and matches(change.entry.object)
        if now:
            self._put(Selected(MODIFIED if before else ADDED, change.entry, change.revision))
        elif before:
            self._put(Selected(DELETED, change.entry, change.revision))

    def bookmark(self, revision: int) -> None:
        """Tell the reader how far it is, if it does not know yet."""
        if revision > self.revision:
            self.revision = revision
            self._put(Selected(BOOKMARK, None, revision))

    def _put(self, event: Selected) -> None:
        self.revision = event.revision
        if self._error is not None:
            return
        if len(self._waiting) >= self._most:
            self.stop(ApiError("Expired", "the watch fell too far behind and was cut off"))
            self._waiting.clear()
            if self.on_cut is not None:
                self.on_cut()
            return
        self._waiting.append(event)
        self._notify()

    def stop(self, error: ApiError) -> None:
        """End the watch; the reader gets `error` after what is waiting."""
        self._error = self._error or error
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    @property
    def stopped(self) -> bool:
        return self._error is not None

    async def ready(self) -> None:
        """Return when there is something to take; raises ApiError when the watch has ended."""
        while not self._waiting:
            if self._error:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def take(self) -> Selected:
        return self._waiting.popleft()

    def __len__(self) -> int:
        return len(self._waiting)
