"""Objects from the API server, listed and watched, decoded straight into stripped views.

The shared informer keeps whole objects, which is 15 times the memory that an answer needs; so the
resolver lists in pages and keeps the views only. What it holds up to is reported to the API, so
that `apply` can wait for it.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from netemu.aio import Clock, SystemClock, spawn
from netemu.api.kind import Resource
from netemu.client.connection import Response
from netemu.client.http import HttpClient
from netemu.dns.kube import objects
from netemu.dns.kube.store import Store, Wanted
from netemu.dns.source import apply, problems
from netemu.dns.source.apply import Feed
from netemu.errors import ApiError, NetemuError

log = logging.getLogger(__name__)

PAGE = 500
WATCH_SECONDS = 3600
FIRST_RETRY, LAST_RETRY = 0.1, 1.0
PATIENCE = 5.0
"""Seconds for a page, a report, or the head of a watch: a server that hangs is asked anew."""
CONFIG_MAPS = Resource(plural="configmaps", kind="ConfigMap")

Programmed = Callable[[str, float], None]
"""Told (kind of Service, seconds since the endpoints changed)."""


class _Event(Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Revision(Struct, gc=False):
    resourceVersion: str = "0"


class _Bookmark(Struct, gc=False):
    metadata: _Revision


class _ConfigMap(Struct, gc=False):
    metadata: Any = None
    data: dict[str, str] | None = None


_BROKEN = (OSError, EOFError, ValueError, asyncio.LimitOverrunError, msgspec.MsgspecError)
"""What a connection or an answer that breaks off raises."""

_event = msgspec.json.Decoder(_Event).decode
_bookmark = msgspec.json.Decoder(_Bookmark).decode


class Watch:
    """List, then watch, for ever; `revision` is what was handed on in full."""

    def __init__(
        self,
        client: HttpClient,
        resource: Resource,
        shape: type[Any],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.client, self.resource, self.shape = client, resource, shape
        self.namespace, self.selectors = (
            namespace,
            {"labelSelector": labels, "fieldSelector": fields},
        )
        self.clock = clock or SystemClock()
        self.revision = 0
        self.absent = False
        """Whether the server does not know the kind."""
        self.on_page: Callable[[list[Any], bool], None] = _no_page
        """Gets (what was listed, whether it is the first page); a long list is never held whole."""
        self.on_listed: Callable[[], None] = _no_progress
        """Called after the last page."""
        self.on_event: Callable[[str, Any], None] = _no_event
        self.on_progress: Callable[[], None] = _no_progress
        self.on_connected: Callable[[], None] = _no_progress
        self._decode = msgspec.json.Decoder(shape).decode

    async def run(self) -> None:
        retry = FIRST_RETRY
        while True:
            try:
                if not self.revision:
                    await self._list()
                async for line in self._lines():
                    self._take(line)
                    retry = FIRST_RETRY
                why = "the watch ended"
            except ApiError as error:
                why = str(error)
                if error.code == 410:
                    self.revision = 0
                if error.code == 404 and not self.absent:
                    self.absent = True  # a kind that this server does not have (yet)
                    self.on_page([], True)
                    self.on_listed()
                    self.on_progress()
            except _BROKEN as error:
                why = f"the API is away: {error}"
            log.info(f"{self.resource.plural}: {why}; next try in {retry:g} s")
            await self.clock.sleep(retry)
            retry = min(retry * 2, LAST_RETRY)

    async def _list(self) -> None:
        token, revision, first = "", "0", True
        while True:
            params = {**self.selectors, "limit": str(PAGE), "continue": token}
            async with asyncio.timeout(PATIENCE):
                response = await self._get(params)
                try:
                    body = await response.read()
                finally:
                    self.client.finish(response)
            page, revision, token, wrong = objects.decode_list(body, self.shape)
            problems.tell(wrong)
            self.on_page(page, first)
            first = False
            if not token:
                break
        self.on_listed()
        self.revision, self.absent = int(revision), False
        self.on_progress()

    async def _get(self, params: dict[str, str]) -> Response:
        path = self.resource.path(self.namespace)
        return await self.client.request("GET", path, params=params)

    async def _lines(self) -> AsyncIterator[bytes]:
        params = {
            **self.selectors,
            "watch": "true",
            "resourceVersion": str(self.revision),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with asyncio.timeout(PATIENCE):
            response = await self._get(params)
        self.on_connected()
        try:
            rest = b""
            async for part in response.parts():
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line:
                        yield line
        finally:
            self.client.finish(response)

    def _take(self, line: bytes) -> None:
        event = _event(line)
        if event.type == "ERROR":
            raise ApiError.from_status(msgspec.json.decode(event.object))
        revision = int(_bookmark(event.object).metadata.resourceVersion)
        if event.type != "BOOKMARK":
            try:
                self.on_event(event.type, self._decode(event.object))
            except msgspec.ValidationError as error:
                problems.tell([f"{self.resource.kind} of a wrong shape: {error}"])
        self.revision = max(self.revision, revision)
        self.on_progress()


class ApiSource:
    """Feeds stores from one API server, and reports how far they are as `component`."""

    def __init__(
        self, group: asyncio.TaskGroup, client: HttpClient, *, component: str = ""
    ) -> None:
        self.group, self.client, self.component = group, client, component
        self.programmed: Programmed | None = None
        self.announced = not component
        """Whether the API knows of us; from then on its barriers wait for us."""
        self.on_announced: Callable[[], None] = _no_progress
        self._watches: list[Watch] = []
        self._moved = asyncio.Event()
        self._told = 0
        if component:
            spawn(group, self._report(), name="dns progress")

    def fill(self, wanted: Wanted, store: Store) -> None:
        waiting = {feed.resource.plural for feed in apply.feeds(wanted)}
        for feed in apply.feeds(wanted):
            self._feed(feed, wanted, store, waiting)

    def _feed(self, feed: Feed, wanted: Wanted, store: Store, waiting: set[str]) -> None:
        plural = feed.resource.plural
        labels = wanted.selector(plural)
        watch = Watch(self.client, feed.resource, feed.shape, labels=labels)

        seen: set[str] = set()

        def on_page(listed: list[Any], first: bool) -> None:
            now = time.time()
            if first:
                seen.clear()
            for raw in listed:
                seen.add(feed.key(raw))
                feed.set(store, raw, True, wanted, now)

        def on_listed() -> None:
            now = time.time()
            for key in set(store.keys(plural)) - seen:
                feed.set(store, _absent(feed, key), False, wanted, now)
            seen.clear()
            waiting.discard(plural)
            if not waiting:
                store.set_synced()

        def on_event(kind: str, raw: Any) -> None:
            now = time.time()
            feed.set(store, raw, kind != "DELETED", wanted, now)
            if feed is apply.SLICES and self.programmed is not None and kind != "DELETED":
                self._measure(store, raw, now)

        watch.on_page, watch.on_listed, watch.on_event = on_page, on_listed, on_event
        self._follow(watch)
        spawn(self.group, watch.run(), name=f"dns watch {plural}")

    def watch_corefile(
        self, namespace: str, name: str, changed: Callable[[str | None], None]
    ) -> None:
        """Hand on the Corefile of a ConfigMap, now and on each change; None when there is none."""
        watch = Watch(
            self.client,
            CONFIG_MAPS,
            _ConfigMap,
            namespace=namespace,
            fields=f"metadata.name={name}",
        )

        def text(raw: Any) -> str | None:
            return (raw.data or {}).get("Corefile")

        watch.on_page = lambda found, first: changed(text(found[0]) if found else None)
        watch.on_event = lambda kind, raw: changed(None if kind == "DELETED" else text(raw))
        self._follow(watch)
        spawn(self.group, watch.run(), name="dns watch corefile")

    def _measure(self, store: Store, raw: Any, now: float) -> None:
        stamp = (raw.metadata.annotations or {}).get(objects.LAST_CHANGE)
        if not stamp or self.programmed is None:
            return
        try:
            since = now - datetime.fromisoformat(stamp).timestamp()
        except ValueError:
            return
        held = store.slices.get(objects.key_of(raw.metadata))
        self.programmed(store.service_kind(held), max(0.0, since))

    def _follow(self, watch: Watch) -> None:
        watch.on_progress, watch.on_connected = self._moved.set, self._tell_again
        self._watches.append(watch)

    def _tell_again(self) -> None:
        """A server that was started anew has forgotten us."""
        self._told = 0
        self._moved.set()

    def _announce(self) -> None:
        if not self.announced:
            self.announced = True
            self.on_announced()

    async def _report(self) -> None:
        """Say what all watches have handed on. Stores change in the same step, so it is served."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            known = [watch.revision for watch in self._watches if not watch.absent]
            revision = min(known, default=0)
            if revision <= self._told or len(self._watches) < 2:
                continue
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.client.report_progress(self.component, revision)
                self._told = revision
                self._announce()
            except (NetemuError, *_BROKEN) as error:
                if isinstance(error, ApiError) and error.code == 404:
                    self._announce()  # an API server that knows no barriers
                    return
                log.info(f"progress could not be reported: {error}")
                await asyncio.sleep(FIRST_RETRY)
                self._moved.set()


def _absent(feed: Feed, key: str) -> Any:
    """A raw object that has nothing but the key of one that is gone."""
    namespace, _, name = key.rpartition("/")
    return msgspec.convert({"metadata": {"name": name, "namespace": namespace}}, type=feed.shape)


def _no_page(found: list[Any], first: bool) -> None:
    return None


def _no_event(kind: str, raw: Any) -> None:
    return None


def _no_progress() -> None:
    return None
