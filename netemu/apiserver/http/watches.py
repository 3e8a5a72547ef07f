"""Watches over HTTP: one JSON object a line, until the time is up, the client goes, or is too slow.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from aiohttp import web

from netemu.api.kind import Kind, Object
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.lists import chosen
from netemu.apiserver.http.negotiation import JSON
from netemu.apiserver.http.render import Renderer, encode
from netemu.apiserver.http.requestinfo import is_true
from netemu.apiserver.watcher import ADDED, BOOKMARK, Entry, Selected, Watcher
from netemu.errors import ApiError

_INITIAL_END = "k8s.io/initial-events-end"
_MOST_WAITING = 4096
_SHORTEST, _LONGEST = 1800, 3600
"""Without timeoutSeconds a watch ends within this time, in seconds, as upstream's do."""
_AT_ONCE = 256


async def watch_objects(call: Call, kind: Kind) -> web.StreamResponse:
    renderer, selection = call.renderer(kind), chosen(call, kind)
    initial = _initial(call)
    since = call.number("resourceVersion") or 0
    if initial is None:
        # Without a revision the present objects come first, and nothing marks their end.
        send_present, mark_end = since == 0, False
    else:
        send_present, mark_end = initial, initial
    if send_present:
        await call.ctx.cache.reach(since)
        since = call.ctx.cache.revision
    present = (
        [
            e
            for e in call.ctx.cache.of(kind).entries(selection.namespace)
            if selection.matches(e.object)
        ]
        if send_present
        else []
    )
    watcher = await call.ctx.cache.watch(selection, since, most=_MOST_WAITING)
    stream = _Stream(call, kind, renderer, watcher)
    try:
        return await stream.run(present, since, mark_end=mark_end)
    finally:
        call.ctx.cache.unwatch(watcher)


def _initial(call: Call) -> bool | None:
    """sendInitialEvents (KEP-3157), with the rules that go with it."""
    if "sendInitialEvents" not in call.query:
        if call.query.get("resourceVersionMatch"):
            raise _forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch")
        return None
    if call.query.get("resourceVersionMatch", "") != "NotOlderThan":
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise _forbidden("resourceVersionMatch", message)
    wanted = is_true(call.query, "sendInitialEvents")
    if wanted and not is_true(call.query, "allowWatchBookmarks"):
        message = "sendInitialEvents requires setting allowWatchBookmarks to true"
        raise _forbidden("allowWatchBookmarks", message)
    return wanted


def _forbidden(field: str, why: str) -> ApiError:
    return ApiError("Invalid", f'ListOptions.meta.k8s.io "" is invalid: {field}: Forbidden: {why}')


class _Stream:
    """One watch on one connection."""

    def __init__(self, call: Call, kind: Kind, renderer: Renderer, watcher: Watcher) -> None:
        self._call, self._kind, self._renderer, self._watcher = call, kind, renderer, watcher
        self._bookmarks = is_true(call.query, "allowWatchBookmarks")
        self._headers_sent = False
        asked = call.number("timeoutSeconds")
        self._seconds = float(asked) if asked else random.uniform(_SHORTEST, _LONGEST)
        self._response = web.StreamResponse(
            headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"}
        )

    async def run(
        self, present: list[Entry], revision: int, *, mark_end: bool
    ) -> web.StreamResponse:
        response, transport = self._response, self._call.request.transport
        if transport is not None:
            # A client that does not read keeps `write` waiting: end it from outside.
            self._watcher.on_cut = transport.abort
        response.enable_chunked_encoding()
        await response.prepare(self._call.http)
        try:
            async with asyncio.timeout(self._seconds):
                await self._send_present(present, revision, mark_end)
                await self._follow()
        except TimeoutError:
            pass  # the client comes back with the revision it has
        except ConnectionError:
            return response
        await response.write_eof()
        return response

    async def _send_present(self, present: list[Entry], revision: int, mark_end: bool) -> None:
        for start in range(0, len(present), _AT_ONCE):
            part = present[start : start + _AT_ONCE]
            await self._response.write(b"".join(self._line(ADDED, entry) for entry in part))
        if mark_end:
            mark = self._bookmark(revision)
            mark["metadata"]["annotations"] = {_INITIAL_END: "true"}
            await self._response.write(_framed(BOOKMARK, encode(mark)))

    async def _follow(self) -> None:
        watcher = self._watcher
        while True:
            try:
                await watcher.ready()
            except ApiError as error:
                await self._response.write(_framed("ERROR", encode(error.to_status())))
                return
            lines = b"".join(self._lines(watcher))
            if lines:
                await self._response.write(lines)

    def _lines(self, watcher: Watcher) -> Iterator[bytes]:
        for _ in range(min(len(watcher), _AT_ONCE)):
            yield self._event(watcher.take())

    def _event(self, event: Selected) -> bytes:
        if event.entry is not None:
            return self._line(event.type, event.entry)
        if not self._bookmarks:
            return b""
        return _framed(BOOKMARK, encode(self._bookmark(event.revision)))

    def _line(self, type_: str, entry: Entry) -> bytes:
        if self._renderer.form.shape == "table":
            headers, self._headers_sent = not self._headers_sent, True
            return _framed(type_, self._renderer.row(entry.object, headers=headers))
        return _framed(type_, self._renderer.entry(entry))

    def _bookmark(self, revision: int) -> Object:
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        form = self._renderer.form
        if form.shape == "object":
            version = self._renderer.api_version
            return {"kind": self._kind.kind, "apiVersion": version, "metadata": metadata}
        if form.shape == "partial":
            version = f"meta.k8s.io/{form.version}"
            return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata}
        # A Table's bookmark carries its metadata in a row, for clients that track the revision.
        row = {"cells": [], "object": {"kind": self._kind.kind, "metadata": metadata}}
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": metadata,
            "columnDefinitions": None,
            "rows": [row],
        }


def _framed(type_: str, data: bytes) -> bytes:
    return b'{"type":"' + type_.encode() + b'","object":' + data + b"}\n"
