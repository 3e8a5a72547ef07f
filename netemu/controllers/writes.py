"""A controller sees its own writes before it decides again.

An informer lags behind the store, so a controller that has just created three pods may find none
of them and create three more. client-go counts expected events ("expectations",
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/controller_utils.go). Here every
write returns its revision and an informer says how far it is, so a key simply waits until the
informer has reached the newest revision that was written on the key's behalf, and shows as gone
(or going) what was deleted.
"""

from __future__ import annotations

import asyncio

from netemu.api import meta
from netemu.api.kind import Object
from netemu.client.informer import Informer


class Moves:
    """Wait for an informer to move on."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._waiting: list[asyncio.Future[None]] = []
        informer.on_progress(self._moved)

    async def reach(self, revision: int) -> None:
        while self._informer.revision < revision:
            await self._next()

    async def miss(self, obj: Object) -> None:
        """Until the informer shows `obj` no more, or as being deleted."""
        while True:
            found = self._informer.get(meta.key(obj))
            if found is None or meta.uid(found) != meta.uid(obj) or meta.is_deleting(found):
                return
            await self._next()

    async def _next(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _moved(self, revision: int) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)


class OwnWrites:
    """What was written for each key and has to be seen before its next look."""

    def __init__(self) -> None:
        self._moves: dict[Informer, Moves] = {}
        self._written: dict[str, dict[Informer, int]] = {}
        self._deleted: dict[str, list[tuple[Informer, Object]]] = {}

    def _follow(self, informer: Informer) -> Moves:
        if informer not in self._moves:
            self._moves[informer] = Moves(informer)
        return self._moves[informer]

    def note(self, key: str, informer: Informer, written: Object) -> Object:
        """Remember that `written` came back from a write made for `key`."""
        pending = self._written.setdefault(key, {})
        pending[informer] = max(pending.get(informer, 0), meta.revision(written))
        return written

    def deleted(self, key: str, informer: Informer, obj: Object) -> None:
        """Remember that `obj` was deleted for `key`."""
        self._deleted.setdefault(key, []).append((informer, obj))

    async def seen(self, key: str) -> None:
        """Return when the informers show everything that was done for `key`."""
        for informer, wanted in self._written.pop(key, {}).items():
            if informer.revision < wanted:
                await self._follow(informer).reach(wanted)
        for informer, obj in self._deleted.pop(key, ()):
            await self._follow(informer).miss(obj)
