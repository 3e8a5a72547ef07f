"""Lists: from memory, in pages, or as they were at an older revision.

https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.cache import expired, too_large
from netemu.apiserver.http.call import Call
from netemu.apiserver.registry import prefix_of
from netemu.apiserver.selection import select
from netemu.apiserver.watcher import Entry, Selection
from netemu.errors import ApiError
from netemu.store.protocol import CompactedError, FutureRevisionError, Row

_STALE = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
_MATCHES = ("", "Exact", "NotOlderThan")
_decode = msgspec.json.Decoder().decode


def chosen(call: Call, kind: Kind) -> Selection:
    """What the request's path and query select."""
    fields = call.query.get("fieldSelector", "")
    if call.info.name and call.info.verb == "watch":  # the old /watch/…/{name}
        fields = f"metadata.name={call.info.name}"
    return select(kind, call.info.namespace, call.query.get("labelSelector", ""), fields)


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page starts and which revision it shows (0: the newest)."""

    revision: int = 0
    after: str = ""


async def list_objects(call: Call, kind: Kind) -> web.StreamResponse:
    renderer, selection = call.renderer(kind), chosen(call, kind)
    limit = max(0, call.number("limit") or 0)
    page = await _page(call)
    entries, revision = await _entries(call, kind, selection, page)
    found: list[Entry] = []
    left = 0
    for entry in entries:
        if not selection.matches(entry.object):
            continue
        if limit and len(found) == limit:
            left += 1
            if not selection.plain:
                break  # how many there are more is only known without selectors
        else:
            found.append(entry)
    metadata: Object = {"resourceVersion": str(revision)}
    if left:
        metadata["continue"] = _token(revision, meta.key(found[-1].object))
        if selection.plain:
            metadata["remainingItemCount"] = left
    return call.answer(renderer.list(found, metadata))


async def _page(call: Call) -> Page:
    token = call.query.get("continue", "")
    match = call.query.get("resourceVersionMatch", "")
    revision = call.number("resourceVersion")
    if match not in _MATCHES:
        message = f'resourceVersionMatch: Unsupported value: "{match}"'
        raise ApiError("Invalid", f'{message}: supported values: "Exact", "NotOlderThan"')
    if match and revision is None:
        message = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise ApiError("Invalid", f"resourceVersionMatch: Forbidden: {message}")
    if token:
        if revision:
            message = "specifying resource version is not allowed when using continue"
            raise ApiError("BadRequest", message)
        return _read_token(token)
    if match == "Exact":
        if not revision:
            message = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            raise ApiError("Invalid", f"resourceVersionMatch: Forbidden: {message}")
        return Page(revision)
    await call.ctx.cache.reach(revision or 0)
    return Page()


async def _entries(
    call: Call, kind: Kind, selection: Selection, page: Page
) -> tuple[Iterable[Entry], int]:
    """The entries of the page and of all that follow, and the revision they show."""
    collection = call.ctx.cache.of(kind)
    newest = call.ctx.cache.revision
    if page.revision <= 0 or (page.revision <= newest and collection.last_change <= page.revision):
        shown = page.revision if page.revision > 0 else newest
        return collection.selected(selection, after=page.after), shown
    prefix = prefix_of(kind) + (f"{selection.namespace}/" if selection.namespace else "")
    after = prefix_of(kind) + page.after if page.after else ""
    try:
        found = await call.ctx.store.range(prefix, after=after, revision=page.revision)
    except CompactedError as gone:
        if page.after:
            raise _StaleToken(page.after) from gone
        raise expired(page.revision, gone.floor) from gone
    except FutureRevisionError as error:
        raise too_large(error.revision, error.current) from error
    return (_old_entry(row) for row in found.rows), page.revision


def _old_entry(row: Row) -> Entry:
    obj: Object = _decode(row.value)
    obj["metadata"]["resourceVersion"] = str(row.mod_rev)
    return Entry(obj, row.mod_rev, row.create_rev)


class _StaleToken(ApiError):
    """410 with a token for going on anyway."""

    def __init__(self, after: str) -> None:
        super().__init__("Expired", _STALE)
        self._after = after

    def to_status(self) -> Object:
        return super().to_status() | {"metadata": {"continue": _token(-1, self._after)}}


def _token(revision: int, start: str) -> str:
    document = {"v": "meta.k8s.io/v1", "rv": revision, "start": start}
    return base64.urlsafe_b64encode(msgspec.json.encode(document)).decode().rstrip("=")


def _read_token(token: str) -> Page:
    try:
        found = _decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if found["v"] != "meta.k8s.io/v1" or not isinstance(found["start"], str):
            raise ValueError(found)
        return Page(int(found["rv"]), found["start"])
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise ApiError("BadRequest", "continue key is not valid") from error
