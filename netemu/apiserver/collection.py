"""The present objects of one kind, by namespace and name, and its latest changes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator

from netemu.api.kind import Kind
from netemu.apiserver.dispatch import Dispatch
from netemu.apiserver.watcher import Change, Entry, Selection
from netemu.store.protocol import Row

REMEMBERED = 2000
"""Changes kept in memory for watches that start in the past; older ones are in the store."""


class Collection:
    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.dispatch = Dispatch(kind)
        self.floor = 0
        """`since` knows all changes after this revision."""
        self.count = 0
        self._entries: dict[str, dict[str, Entry]] = {}
        self._names: dict[str, list[str]] = {}  # sorted, a list for each namespace
        self._changes: deque[Change] = deque()

    def become(self, kind: Kind) -> None:
        """The kind's definition has changed; its objects and watches stay."""
        self.kind = kind
        self.dispatch.become(kind)

    def get(self, namespace: str, name: str) -> Entry | None:
        found = self._entries.get(namespace)
        return found.get(name) if found else None

    def load(self, entry: Entry) -> Entry | None:
        """File an entry without telling anybody; returns what it replaced."""
        metadata = entry.object["metadata"]
        namespace = metadata.get("namespace", "") if self.kind.namespaced else ""
        name = metadata["name"]
        entries = self._entries.setdefault(namespace, {})
        before = entries.get(name)
        entries[name] = entry
        if before is None:
            insort(self._names.setdefault(namespace, []), name)
            self.count += 1
        return before

    def put(self, entry: Entry) -> Change:
        return self._remember(Change(entry.revision, entry, self.load(entry), False))

    def removed(self, key: str, revision: int) -> Change | None:
        parts = key.split("/")
        namespace, name = (parts[-2] if self.kind.namespaced else ""), parts[-1]
        entries = self._entries.get(namespace, {})
        before = entries.pop(name, None)
        if before is None:
            return None
        self.count -= 1
        names = self._names[namespace]
        del names[bisect_left(names, name)]
        if not names:
            del self._names[namespace], self._entries[namespace]
        last = before.object
        metadata = {**last["metadata"], "resourceVersion": str(revision)}
        entry = Entry({**last, "metadata": metadata}, revision, before.create_rev)
        return self._remember(Change(revision, entry, before, True))

    def _remember(self, change: Change) -> Change:
        self._changes.append(change)
        if len(self._changes) > REMEMBERED:
            self.floor = self._changes.popleft().revision
        return change

    def forget_changes(self, revision: int) -> None:
        """All that led to `revision` is only in the store, if anywhere."""
        self._changes.clear()
        self.floor = revision

    def is_news(self, row: Row) -> bool:
        """Whether `row` of this collection is not what is filed."""
        *_, namespace, name = row.key.split("/")
        entry = self.get(namespace if self.kind.namespaced else "", name)
        return entry is None or entry.revision != row.mod_rev

    def since(self, revision: int) -> list[Change]:
        """Changes after `revision`, which must not be below the floor."""
        found = []
        for change in reversed(self._changes):
            if change.revision <= revision:
                break
            found.append(change)
        return found[::-1]

    @property
    def last_change(self) -> int:
        """The revision of the newest change, or one that is not older than it."""
        return self._changes[-1].revision if self._changes else self.floor

    def entries(self, namespace: str = "", *, after: str = "") -> Iterator[Entry]:
        """In the order of their keys; `after` is `namespace/name` or `name`."""
        if namespace or not self.kind.namespaced:
            yield from self._in(namespace, after.rpartition("/")[2])
            return
        for space in sorted(self._names, key=lambda space: space + "/"):
            if space + "0" > after:  # "0" follows "/": some name below `space` may come after
                mine = after.startswith(space + "/")
                yield from self._in(space, after[len(space) + 1 :] if mine else "")

    def selected(self, selection: Selection, *, after: str = "") -> Iterator[Entry]:
        """The entries that may match, without a look at all when one is asked for by name."""
        name = selection.fields.exact("metadata.name")
        if name is not None and (selection.namespace or not self.kind.namespaced):
            entry = self.get(selection.namespace, name)
            if entry is not None and (not after or after.rpartition("/")[2] < name):
                yield entry
            return
        yield from self.entries(selection.namespace, after=after)

    def _in(self, namespace: str, after: str) -> Iterator[Entry]:
        names = self._names.get(namespace, [])
        entries = self._entries.get(namespace, {})
        start = bisect_right(names, after) if after else 0
        for name in names[start:]:
            yield entries[name]
