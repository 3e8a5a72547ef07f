"""A real etcd behind the same interface, through its HTTP/JSON gateway.

For several API servers that share one store. One watch on everything feeds all watches here; a
transaction returns when that watch has brought its own event, so that who writes can read.
https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
"""

from __future__ import annotations

import asyncio
import base64
import heapq
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import msgspec

from netemu.store.protocol import (
    CompactedError,
    Deliver,
    Event,
    FutureRevisionError,
    Range,
    Row,
    StoreError,
    Subscription,
    Txn,
)
from netemu.store.schema import above
from netemu.store.watches import Watches

log = logging.getLogger(__name__)

_EVERYTHING = {"key": "AA==", "range_end": "AA=="}  # from the zero byte on: all keys
_PAGE = 1000
_RETRY_SECONDS = 0.5
_SECONDS = 10.0
_decode = msgspec.json.Decoder().decode


class EtcdStore:
    """`servers`: client URLs, tried in turn. `run` must be running for anything to be delivered."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = [server.rstrip("/") for server in servers]
        self._watches = Watches()
        self._revision = 0
        self._compacted = 0
        self._notes: dict[int, Any] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._opened = asyncio.Event()

    async def open(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, connect=_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20)
        self._revision = await self.newest()
        self._opened.set()

    async def close(self) -> None:
        self._opened.clear()
        await self._session.close()

    async def run(self) -> None:
        """Follow all changes until cancelled; comes back when etcd was away."""
        await self._opened.wait()
        while True:
            try:
                async for events in self._follow(self._revision + 1):
                    self._deliver(events)
            except (aiohttp.ClientError, OSError) as error:
                log.warning("etcd is away", extra={"kv": {"error": str(error)}})
            await asyncio.sleep(_RETRY_SECONDS)

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def shared(self) -> bool:
        return True

    async def newest(self) -> int:
        found = await self._post("kv/range", {"key": _text("/"), "limit": 1, "keys_only": True})
        return int(found["header"]["revision"])

    @property
    def compacted(self) -> int:
        return self._compacted

    async def txn(self, key: str, expect: int | None, value: bytes | None, note: Any = None) -> Txn:
        found = await self._post("kv/txn", _transaction(_text(key), expect, value))
        if not found.get("succeeded"):
            rows = found["responses"][0]["response_range"].get("kvs") or []
            present = int(rows[0]["mod_revision"]) if rows else 0
            return Txn(False, present)
        revision = int(found["header"]["revision"])
        if note is not None and revision > self._revision:
            self._notes[revision] = note
        await self._reach(revision)
        return Txn(True, revision)

    async def range(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        rows: list[Row] = []
        last, at, more = after, revision, True
        while more and (not limit or len(rows) < limit):
            page = min(_PAGE, limit - len(rows)) if limit else _PAGE
            start = last + "\0" if last >= prefix and last else prefix
            question = {"key": _text(start), "range_end": _text(above(prefix)), "limit": page}
            found = await self._post("kv/range", question | ({"revision": at} if at else {}))
            at = at or int(found["header"]["revision"])
            rows += [_row(kv) for kv in found.get("kvs") or ()]
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
        following = self._follow(after + 1) if last < newest else _nothing()
        async for events in following:
            found += [event for event in events if event.key.startswith(prefix)]
            last = events[-1].revision if events else last
            if last >= newest:
                break
        await self._reach(last)
        return [event for event in found if event.revision <= newest]

    def watch(self, prefix: str, deliver: Deliver) -> Subscription:
        return self._watches.add(prefix, deliver)

    async def compact(self, revision: int) -> None:
        try:
            await self._post("kv/compaction", {"revision": revision})
        except CompactedError:
            return  # another server was faster
        self._compacted = max(self._compacted, revision)

    async def _reach(self, revision: int) -> None:
        """Wait until the watch has brought everything up to `revision`."""
        if revision <= self._revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._order), future))
        await future

    def _deliver(self, events: list[Event]) -> None:
        fresh = [event for event in events if event.revision > self._revision]
        if not fresh:
            return
        self._revision = fresh[-1].revision
        self._watches.publish(
            [
                event._replace(note=self._notes.pop(event.revision, None), prev_value=None)
                for event in fresh
            ]
        )
        while self._waiting and self._waiting[0][0] <= self._revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def _follow(self, start: int) -> AsyncIterator[list[Event]]:
        """Batches of events from revision `start` on, for ever."""
        request = {**_EVERYTHING, "start_revision": start, "prev_kv": True}
        body = msgspec.json.encode({"create_request": request})
        async with self._session.post(f"{self._servers[0]}/v3/watch", data=body) as response:
            async for line in response.content:
                found = _decode(line)
                result = found.get("result")
                if result is None:
                    raise _error(found.get("error") or found)
                if int(result.get("compact_revision", 0)):
                    self._compacted = max(self._compacted, int(result["compact_revision"]))
                    raise CompactedError(self._compacted)
                if result.get("canceled"):
                    raise StoreError(f"etcd ended the watch: {result.get('cancel_reason')}")
                if result.get("events"):
                    yield [_event(event) for event in result["events"]]

    async def _post(self, what: str, question: Any) -> Any:
        """One request; the next server when one does not answer."""
        body = msgspec.json.encode(question)
        failure: Exception | None = None
        for server in tuple(self._servers):
            try:
                async with (
                    asyncio.timeout(_SECONDS),
                    self._session.post(f"{server}/v3/{what}", data=body) as response,
                ):
                    found = _decode(await response.read())
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = error
                self._servers.append(self._servers.pop(0))
                continue
            if response.status >= 400:
                raise _error(found)
            return found
        raise StoreError(
            f"no etcd answers ({', '.join(self._servers)}): {failure}",
            hint="look whether etcd runs, and whether --etcd-servers names its client URLs",
        )


async def _nothing() -> AsyncIterator[list[Event]]:
    return
    yield


def _transaction(key: str, expect: int | None, value: bytes | None) -> Any:
    compare: dict[str, Any] | None = None
    if expect is not None:
        compare = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": expect}
    elif value is None:  # a delete of nothing must not succeed
        compare = {"key": key, "target": "CREATE", "result": "GREATER", "create_revision": 0}
    if value is None:
        change: Any = {"request_delete_range": {"key": key}}
    else:
        change = {"request_put": {"key": key, "value": base64.b64encode(value).decode()}}
    return {
        "compare": [compare] if compare else [],
        "success": [change],
        "failure": [{"request_range": {"key": key, "keys_only": True}}],
    }


def _text(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def _key(kv: Any) -> str:
    return base64.b64decode(kv["key"]).decode()


def _row(kv: Any) -> Row:
    value = base64.b64decode(kv.get("value", ""))
    return Row(_key(kv), value, int(kv["create_revision"]), int(kv["mod_revision"]))


def _event(found: Any) -> Event:
    kv, before = found["kv"], found.get("prev_kv")
    deleted = found.get("type") == "DELETE"
    value = None if deleted else base64.b64decode(kv.get("value", ""))
    previous = base64.b64decode(before.get("value", "")) if before else None
    created = int((before if deleted and before else kv).get("create_revision", 0))
    return Event(int(kv["mod_revision"]), _key(kv), value, previous, created, None)


def _error(found: Any) -> StoreError:
    message = str(found.get("message") or found.get("error") or found)
    if "has been compacted" in message:
        return CompactedError(0)
    if "future revision" in message:
        return FutureRevisionError(0, 0)
    return StoreError(f"etcd: {message}")
