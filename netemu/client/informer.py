"""A local copy of all objects of one kind, kept current, and handlers that hear of each change.

List, then watch from the list's revision; when that revision has expired, list again and hand out
the difference; when the server is away, try again later. client-go's reflector and store in one.
https://github.com/kubernetes/client-go/blob/master/tools/cache/reflector.go
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from netemu.aio import Clock, SystemClock
from netemu.api import meta
from netemu.api.kind import Object, Resource
from netemu.client.index import Index
from netemu.client.protocol import ApiClient, WatchEvent
from netemu.errors import ApiError

log = logging.getLogger(__name__)

ChangeHandler = Callable[[Object | None, Object | None], None]
ProgressHandler = Callable[[int], None]
Indexer = Callable[[Object], Iterable[str]]

_FIRST_RETRY, _LAST_RETRY = 0.1, 10.0


class Informer:
    """Objects are shared and must not be changed. Handlers are sync, quick, and called in order."""

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._client, self.resource = client, resource
        self._namespace, self._labels, self._fields = namespace, labels, fields
        self._clock = clock or SystemClock()
        self._objects: dict[str, Object] = {}
        self._indexes = {name: Index(of) for name, of in (indexers or {}).items()}
        self._on_change: Sequence[ChangeHandler] = ()
        self._on_progress: Sequence[ProgressHandler] = ()
        self._on_bookmark: Sequence[Callable[[], None]] = ()
        self._synced = asyncio.Event()
        self._retry = _FIRST_RETRY
        self.revision = 0
        """Every event up to it has been handed to the handlers."""

    @property
    def objects(self) -> Mapping[str, Object]:
        return self._objects

    def get(self, key: str) -> Object | None:
        return self._objects.get(key)

    def list(self, namespace: str = "") -> list[Object]:
        if not namespace:
            return list(self._objects.values())
        return [obj for obj in self._objects.values() if meta.namespace(obj) == namespace]

    def by_index(self, index: str, value: str) -> builtins.list[Object]:
        """Objects for which the indexer named `index` gave `value`."""
        return [self._objects[key] for key in self._indexes[index].keys(value)]

    def add_indexer(self, name: str, indexer: Indexer) -> None:
        """A further index; the objects already here are in it at once. The first one stays."""
        if name not in self._indexes:
            self._indexes[name] = index = Index(indexer)
            for key, obj in self._objects.items():
                index.replace(key, None, obj)

    def on_change(self, handler: ChangeHandler) -> None:
        """Call `handler(old, new)`, one of them None; now, too, for what is already here."""
        self._on_change = (*self._on_change, handler)
        for obj in tuple(self._objects.values()):
            handler(None, obj)

    def on_progress(self, handler: ProgressHandler) -> None:
        """Call `handler(revision)` whenever `revision` has moved: by an event or a bookmark."""
        self._on_progress = (*self._on_progress, handler)

    def on_bookmark(self, handler: Callable[[], None]) -> None:
        """Call `handler` when the server says how far it is without news: a barrier may wait."""
        self._on_bookmark = (*self._on_bookmark, handler)

    async def wait_synced(self) -> None:
        """Wait for the first list."""
        await self._synced.wait()

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._list()
                await self._watch()
            except (ApiError, OSError, EOFError) as error:
                await self._pause(error)

    async def _list(self) -> None:
        listed = await self._client.list(
            self.resource, self._namespace, labels=self._labels, fields=self._fields
        )
        there = {meta.key(obj): obj for obj in listed.items}
        for key in [key for key in self._objects if key not in there]:
            self._replace(key, None)
        for key, obj in there.items():
            known = self._objects.get(key)
            if known is None or meta.revision(known) != meta.revision(obj):
                self._replace(key, obj)
        self._advance(listed.revision)
        self._synced.set()

    async def _watch(self) -> None:
        """Until the revision has expired; a broken connection is taken up where it broke."""
        while True:
            try:
                async for event in self._client.watch(
                    self.resource,
                    self._namespace,
                    revision=self.revision,
                    labels=self._labels,
                    fields=self._fields,
                ):
                    self._take(event)
                    self._retry = _FIRST_RETRY
            except (ApiError, OSError, EOFError) as error:
                if isinstance(error, ApiError) and error.reason == "Expired":
                    log.debug("watch expired", extra={"kv": self._pairs(error)})
                    return
                if isinstance(error, ApiError) and error.reason in ("NotFound", "Forbidden"):
                    raise
                await self._pause(error)

    def _take(self, event: WatchEvent) -> None:
        if event.type != "BOOKMARK":
            deleted = event.type == "DELETED"
            self._replace(meta.key(event.object), None if deleted else event.object)
        self._advance(event.revision)
        if event.type == "BOOKMARK":
            for handler in self._on_bookmark:
                handler()

    def _replace(self, key: str, new: Object | None) -> None:
        old = self._objects.get(key)
        if new is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = new
        if old is None and new is None:
            return
        for index in self._indexes.values():
            index.replace(key, old, new)
        for handler in self._on_change:
            handler(old, new)

    def _advance(self, revision: int) -> None:
        if revision != self.revision:
            self.revision = revision
            for handler in self._on_progress:
                handler(revision)

    async def _pause(self, error: Exception) -> None:
        log.debug("list or watch failed", extra={"kv": self._pairs(error)})
        await self._clock.sleep(self._retry * random.uniform(1.0, 1.5))
        self._retry = min(self._retry * 2, _LAST_RETRY)

    def _pairs(self, error: Exception) -> dict[str, str]:
        return {"resource": self.resource.plural, "error": str(error)}
