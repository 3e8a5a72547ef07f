"""A real etcd behind the same interface, for several API servers that share one store.

One watch on everything feeds all watches here; a transaction returns when that watch has brought
its own event, so that who writes can read. The watch takes in keys of others, too: etcd counts one
revision for all, and "everything up to N has been seen" is what reads and barriers wait for.
https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from netemu.aio import spawn
from netemu.store.etcdgateway import Gateway, Tls, UnsureError
from netemu.store.etcdwire import EVERYTHING, ROOT, Keys, transaction
from netemu.store.protocol import (
    CompactedError,
    Deliver,
    Event,
    FutureRevisionError,
    Lost,
    Range,
    Row,
    StoreError,
    Subscription,
    Txn,
)
from netemu.store.watches import Watches

log = logging.getLogger(__name__)

_PAGE = 1000
_RETRY_SECONDS = 0.5
_UNSURE_SECONDS = 30.0
"""How long a write whose answer was lost is looked for, and its event waited for."""
_LOOK_SECONDS, _PATIENCE = 1.0, 3
"""A watch that stands still over so many looks, while others have seen more, is begun anew."""


class EtcdStore:
    """`servers`: client URLs, tried in turn. `run` must be running for anything to be delivered.

    `prefix`: kube-apiserver's --etcd-prefix; clusters with different ones don't see each other.
    """

    def __init__(
        self, servers: Sequence[str], *, prefix: str = ROOT, tls: Tls | None = None
    ) -> None:
        self._gateway = Gateway(servers, tls or Tls())
        self._keys = Keys(prefix)
        self._watches = Watches()
        self._revision = 0
        self._known = 0
        self._compacted = 0
        self._notes: dict[int, Any] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._opened = asyncio.Event()

    async def open(self) -> None:
        await self._gateway.open()
        try:
            self._revision = await self.newest()
        except BaseException:
            await self._gateway.close()
            raise
        self._opened.set()

    async def close(self) -> None:
        self._opened.clear()
        await self._gateway.close()

    async def run(self) -> None:
        """Follow all changes until cancelled; comes back whenever etcd was away."""
        await self._opened.wait()
        async with asyncio.TaskGroup() as group:
            spawn(group, self._mind(), name="etcd-watchdog")
            while True:
                try:
                    async with aclosing(self._follow(self._revision + 1)) as following:
                        async for events in following:
                            self._deliver(events)
                except CompactedError:
                    await self._skip()
                except StoreError as error:
                    log.warning("etcd's watch ended", extra={"kv": {"error": str(error)}})
                await asyncio.sleep(_RETRY_SECONDS)

    async def _skip(self) -> None:
        """History that we have not seen is gone: go on from now, and let everybody read anew."""
        try:
            newest = await self.newest()
        except StoreError:
            return  # the next attempt comes here again
        pairs = {"seen": self._revision, "now": newest}
        log.warning("etcd was compacted while it was out of reach", extra={"kv": pairs})
        self._revision = max(self._revision, newest)
        self._notes = {at: note for at, note in self._notes.items() if at > newest}
        self._watches.lost()
        self._release()

    async def _mind(self) -> None:
        """Break off a watch that hangs: its server may have lost touch with the others."""
        seen, still = 0, 0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            still = still + 1 if seen == self._revision < self._known else 0
            seen = self._revision
            if still >= _PATIENCE:
                still = 0
                pairs = {"at": self._revision, "newest": self._known}
                log.warning("etcd's watch hangs", extra={"kv": pairs})
                self._gateway.break_off()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def shared(self) -> bool:
        return True

    async def newest(self) -> int:
        question = {"key": self._keys.encode(f"{ROOT}/"), "limit": 1, "keys_only": True}
        return self._at(await self._gateway.post("kv/range", question))

    def _at(self, found: Any) -> int:
        """The revision of an answer."""
        revision = int(found["header"]["revision"])
        self._known = max(self._known, revision)
        return revision

    @property
    def compacted(self) -> int:
        return self._compacted

    async def txn(self, key: str, expect: int | None, value: bytes | None, note: Any = None) -> Txn:
        done = await self._write(key, expect, value)
        if done.succeeded:
            if note is not None and done.revision > self._revision:
                self._notes[done.revision] = note
            await self._reach(done.revision)
        return done

    async def put_leased(self, key: str, value: bytes, lease: int) -> None:
        """Put a key that goes when its lease does (`etcdlease`); does not wait for the watch."""
        question = transaction(self._keys.encode(key), None, value, lease)
        await self._gateway.post("kv/txn", question)

    async def count(self) -> int:
        """How many keys there are below the prefix."""
        question = {**self._keys.span(f"{ROOT}/"), "count_only": True}
        return int((await self._gateway.post("kv/range", question)).get("count", 0))

    async def delete_all(self) -> int:
        """Delete every key below the prefix; how many there were."""
        found = await self._gateway.post("kv/deleterange", self._keys.span(f"{ROOT}/"))
        return int(found.get("deleted", 0))

    async def lease(self, what: str, question: Any) -> Any:
        """etcd's lease API: `grant`, `keepalive`, `revoke`."""
        return await self._gateway.post(f"lease/{what}", question)

    async def _write(self, key: str, expect: int | None, value: bytes | None) -> Txn:
        question = transaction(self._keys.encode(key), expect, value)
        until = time.monotonic() + _UNSURE_SECONDS
        while True:
            try:
                found = await self._gateway.post("kv/txn", question, once=True)
            except UnsureError as error:
                log.warning("a write's answer was lost", extra={"kv": {"error": str(error)}})
                settled = await self._look(key, expect, value, until)
                if settled is None:
                    continue
                return settled
            if found.get("succeeded"):
                return Txn(True, self._at(found))
            rows = found["responses"][0]["response_range"].get("kvs") or []
            return Txn(False, int(rows[0]["mod_revision"]) if rows else 0)

    async def _look(
        self, key: str, expect: int | None, value: bytes | None, until: float
    ) -> Txn | None:
        """What became of a write without an answer; None: nothing yet, write it again."""
        while True:
            try:
                found = await self._gateway.post("kv/range", {"key": self._keys.encode(key)})
                break
            except StoreError as error:
                if time.monotonic() > until:
                    raise StoreError(
                        f"{error}; whether {key} was written is not known",
                        hint=error.hint or "look at the object before you write it again",
                    ) from error
                await asyncio.sleep(_RETRY_SECONDS)
        rows = found.get("kvs") or []
        row = self._keys.row(rows[0]) if rows else None
        present = row.mod_rev if row else 0
        if row is None and value is None:
            return Txn(True, self._at(found))
        if row is not None and row.value == value and present != expect:
            return Txn(True, present)
        return None if expect in (None, present) else Txn(False, present)

    async def range(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        rows: list[Row] = []
        last, at, more = after, revision, True
        while more and (not limit or len(rows) < limit):
            page = min(_PAGE, limit - len(rows)) if limit else _PAGE
            start = last + "\0" if last >= prefix and last else prefix
            question = {**self._keys.span(prefix, start), "limit": page}
            if at:
                question["revision"] = at
            found = await self._gateway.post("kv/range", question)
            newest = self._at(found)
            at = at or newest
            rows += [self._keys.row(kv) for kv in found.get("kvs") or ()]
            more = bool(found.get("more"))
            last = rows[-1].key if rows else last
        return Range(rows, at, more)

    async def history(self, prefix: str, after: int) -> list[Event]:
        newest = await self.newest()
        if after > newest:
            raise FutureRevisionError(after, newest)
        if after < self._compacted:  # etcd itself would still show the event at the floor
            raise CompactedError(self._compacted)
        found: list[Event] = []
        last = after
        if last < newest:
            async with aclosing(self._follow(after + 1)) as following:
                async for events in following:
                    found += [event for event in events if event.key.startswith(prefix)]
                    last = events[-1].revision
                    if last >= newest:
                        break
        await self._reach(last)
        return [event for event in found if event.revision <= newest]

    def watch(self, prefix: str, deliver: Deliver, lost: Lost | None = None) -> Subscription:
        return self._watches.add(prefix, deliver, lost)

    async def compact(self, revision: int) -> None:
        try:
            await self._gateway.post("kv/compaction", {"revision": revision})
        except CompactedError:
            return  # another server was faster
        self._compacted = max(self._compacted, revision)

    async def _reach(self, revision: int) -> None:
        """Wait until the watch has brought everything up to `revision`."""
        if revision <= self._revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._order), future))
        try:
            async with asyncio.timeout(_UNSURE_SECONDS):
                await future
        except TimeoutError:
            raise StoreError(
                f"etcd has revision {revision}, but its watch is still at {self._revision}",
                hint="the change was made; look at `etcdctl endpoint status --cluster`",
            ) from None

    def _deliver(self, events: list[Event]) -> None:
        fresh = [event for event in events if event.revision > self._revision]
        if not fresh:
            return
        self._revision = fresh[-1].revision
        self._watches.publish(
            [
                event._replace(note=self._notes.pop(event.revision, None), prev_value=None)
                for event in fresh
                if event.key
            ]
        )
        self._release()

    def _release(self) -> None:
        """Wake those who waited for what has been delivered."""
        while self._waiting and self._waiting[0][0] <= self._revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def _follow(self, start: int) -> AsyncGenerator[list[Event], None]:
        """Batches of events from revision `start` on, until an error says why no more."""
        request = {**EVERYTHING, "start_revision": start, "prev_kv": True}
        async with aclosing(self._gateway.stream("watch", {"create_request": request})) as answers:
            async for result in answers:
                if int(result.get("compact_revision", 0)):
                    self._compacted = max(self._compacted, int(result["compact_revision"]))
                    raise CompactedError(self._compacted)
                if result.get("canceled"):
                    raise StoreError(f"etcd ended the watch: {result.get('cancel_reason')}")
                if result.get("events"):
                    yield [self._keys.event(event) for event in result["events"]]
