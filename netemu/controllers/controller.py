"""The loop that all controllers share: informers fill a queue, workers reconcile one key each.

Level-based, as controller-runtime has it (https://pkg.go.dev/sigs.k8s.io/controller-runtime/pkg/reconcile):
an event only says that a key is worth a look; `reconcile` compares what is with what should be. One
key is never worked on twice at once; keys run side by side. An error is tried again with growing
delays, except TerminalError, which waits until the object changes.

A key with a thousand children would be looked at for each of their events, and each look costs a
walk over all of them. `pause` bounds that: after a look, the key rests for that long, and every
event meanwhile is served by the next look. A barrier ends the rest (`hurry`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import ClassVar

from netemu.aio import spawn
from netemu.api.kind import Object, Resource
from netemu.client.informer import Informer
from netemu.client.workqueue import WorkQueue
from netemu.controllers.context import ControllerContext
from netemu.controllers.writes import OwnWrites
from netemu.errors import ApiError, TerminalError

log = logging.getLogger(__name__)

Keys = Callable[[Object | None, Object | None], Iterable[str]]
"""(old, new) of an event -> the keys worth a look."""


class Controller:
    """Subclasses name themselves, watch their informers in `__init__`, and write `reconcile`."""

    name: ClassVar[str]
    workers: ClassVar[int] = 8

    def __init__(self, context: ControllerContext) -> None:
        self.context = context
        self.client = context.client
        self.clock = context.clock
        self.events = context.events
        self.queue = WorkQueue(context.clock)
        self.writes = OwnWrites()
        self.informers: list[Informer] = []
        self.busy = 0
        self._rest_until: dict[str, float] = {}
        self._held: set[str] = set()
        self._again: dict[str, float] = {}
        self.tracked = False
        self._since: dict[str, int] = {}
        self._working: dict[str, int] = {}
        self._done_handlers: list[Callable[[], None]] = []

    def watch(self, resource: Resource, keys: Keys | None = None) -> Informer:
        """The shared informer of `resource`; its events put `keys(old, new)` into the queue."""
        informer = self.context.informer(resource)
        if informer not in self.informers:
            self.informers.append(informer)
        if keys is not None:

            def changed(old: Object | None, new: Object | None) -> None:
                for key in keys(old, new):
                    self.enqueue(key)

            informer.on_change(changed)
        return informer

    def enqueue(self, key: str) -> None:
        """Have `key` looked at soon; a resting key when its rest is over."""
        if self.tracked:
            self._since.setdefault(key, self.revision)
        if key in self._held:
            return
        rest = self._rest_until.get(key)
        wait = rest - self.clock.monotonic() if rest is not None else 0.0
        if wait <= 0:
            self.queue.add(key)
        else:
            self._held.add(key)
            self.queue.add_after(key, wait)

    def hurry(self) -> None:
        """Somebody waits for us: resting keys that have something to do are looked at now."""
        for key in self._held:
            self.queue.add(key)

    @property
    def revision(self) -> int:
        """Every event up to it has been turned into keys."""
        return min((informer.revision for informer in self.informers), default=0)

    @property
    def settled_revision(self) -> int:
        """Everything up to it has been reconciled, whatever is still under way for later ones."""
        return min((self.revision, *self._since.values(), *self._working.values()))

    def on_done(self, handler: Callable[[], None]) -> None:
        """Call `handler` after each look; with it, `settled_revision` is kept."""
        self.tracked = True
        self._done_handlers.append(handler)

    def pause(self, key: str) -> float:
        """Seconds that `key` rests after a look; grows with what a look costs."""
        return 0.0

    @property
    def held(self) -> int:
        """Keys that rest and have something to do afterwards."""
        return len(self._held)

    async def reconcile(self, key: str) -> float | None:
        """Make it so. Seconds after which to look again without an event, or None."""
        raise NotImplementedError

    async def run(self) -> None:
        """Until cancelled. The informers are run by their owner."""
        for informer in self.informers:
            await informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            for index in range(self.workers):
                spawn(group, self._work(), name=f"{self.name}/{index}")

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            self.busy += 1
            try:
                await self._serve(key)
            finally:
                self.busy -= 1
                self.queue.done(key)
            for handler in self._done_handlers:
                handler()

    async def _serve(self, key: str) -> None:
        await self.writes.seen(key)
        self._held.discard(key)
        self._working[key] = self._since.pop(key, self.revision)
        try:
            again = await self.reconcile(key)
        except TerminalError as error:
            log.warning("reconcile gave up", extra={"kv": self._about(key, error)})
            self.queue.forget(key)
        except ApiError as error:
            level = logging.DEBUG if error.reason == "Conflict" else logging.WARNING
            log.log(level, "reconcile refused", extra={"kv": self._about(key, error)})
            if self.tracked and error.reason == "Conflict":
                # Nothing is wrong, it only has to be done again: what it was for is not settled.
                self._since[key] = min(self._working[key], self._since.get(key, 1 << 62))
            self.queue.add_rate_limited(key)
        except Exception:
            log.exception("reconcile failed", extra={"kv": self._about(key)})
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            self._look_again(key, again)
        del self._working[key]
        self._rest(key)

    def _look_again(self, key: str, seconds: float | None) -> None:
        """One timer a key: a later one is not needed, the earlier look will set it again."""
        now = self.clock.monotonic()
        known = self._again.get(key)
        if known is not None and known <= now:
            del self._again[key]
            known = None
        if seconds is None:
            return
        due = now + max(seconds, 0.001)
        if known is None or due < known:
            self._again[key] = due
            self.queue.add_after(key, due - now)

    def _rest(self, key: str) -> None:
        if (pause := self.pause(key)) > 0:
            self._rest_until[key] = self.clock.monotonic() + pause
        else:
            self._rest_until.pop(key, None)

    def _about(self, key: str, error: Exception | None = None) -> dict[str, str]:
        about = {"controller": self.name, "key": key}
        return about | {"error": str(error)} if error else about
