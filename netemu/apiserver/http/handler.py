"""From a request to its answer: who asks, for what, may he, and which function does it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from netemu.api.kind import CREATE_ONLY, Kind
from netemu.api.metrics import GROUP as METRICS
from netemu.apiserver.http import lists, objects, subresources, watches
from netemu.apiserver.http.call import Call, Request, failure
from netemu.apiserver.http.compression import compressed
from netemu.apiserver.http.documents import serve_document
from netemu.apiserver.http.metrics import read_metrics
from netemu.apiserver.http.quickanswers import QUICK_BYTES
from netemu.apiserver.http.requestinfo import parse
from netemu.apiserver.http.reviews import review
from netemu.apiserver.pipeline.update import PARTS_OF_SPEC
from netemu.apiserver.registry import UNKNOWN_PATH
from netemu.errors import ApiError

if TYPE_CHECKING:
    from netemu.apiserver.server import ApiServer

log = logging.getLogger(__name__)

Verb = Callable[[Call, Kind], Awaitable[web.StreamResponse]]

_COLLECTION: dict[str, Verb] = {
    "list": lists.list_objects,
    "watch": watches.watch_objects,
    "create": objects.create_object,
    "deletecollection": objects.delete_collection,
}
_OBJECT: dict[str, Verb] = {
    "get": objects.get_object,
    "update": objects.update_object,
    "patch": objects.patch_one,
    "delete": objects.delete_one,
    "watch": watches.watch_objects,
}
SEND_SECONDS = 60.0
"""Until then a client must have taken an answer of known length."""
PARTS = ("status", "scale", *PARTS_OF_SPEC)
"""Subresources that are read and written as the object itself is."""


class Handler:
    """What aiohttp's server calls for each request; and what answers those it does not see."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await self._answer(self.call(request, request.query))
            return await sent(await compressed(request, answer), request)
        except ConnectionError:
            raise
        except Exception as error:
            return _failed(request, _explained(request, error))

    async def answer(self, call: Call) -> web.Response:
        """What a call is answered with that reads and writes no streams."""
        try:
            answer = await compressed(call.request, await self._answer(call))
            assert isinstance(answer, web.Response), call.info
            return answer
        except Exception as error:
            return failure(_explained(call.request, error))

    def call(self, request: Request, query: Mapping[str, str]) -> Call:
        raw_path = request.raw_path.partition("?")[0]
        return Call(self._server, request, parse(request.method, raw_path, query), query)

    async def _answer(self, call: Call) -> web.StreamResponse:
        query = call.query
        self._server.gate.admit(call)
        if not call.info.is_resource:
            return await serve_document(call)
        info = call.info
        kind = self._server.registry.find(info.group, info.version, info.plural)
        if kind is None or (info.namespace and not kind.namespaced and kind.plural != "namespaces"):
            raise ApiError("NotFound", UNKNOWN_PATH, details={})
        verb = self._verb(call, kind)
        if not query.get("resourceVersion"):
            await self._server.cache.catch_up()
        return await verb(call, kind)

    def _verb(self, call: Call, kind: Kind) -> Verb:
        info = call.info
        if info.subresource and info.subresource not in PARTS:
            return subresources.find(call, kind)
        if info.subresource and info.subresource not in kind.subresources:
            raise ApiError("NotFound", UNKNOWN_PATH)
        allowed = _OBJECT if info.name else _COLLECTION
        if kind.verbs == CREATE_ONLY and info.verb == "create":
            return review
        verb = allowed.get(info.verb)
        if verb is None or (info.subresource and info.verb not in ("get", "update", "patch")):
            raise not_allowed()
        if not info.subresource and info.verb not in kind.verbs:
            raise not_allowed()
        return read_metrics if kind.group == METRICS else verb


def _explained(request: Request, error: Exception) -> ApiError:
    """What to tell the client of it."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RecursionError):
        return ApiError("BadRequest", "what was sent is nested too deeply")
    where = {"method": request.method, "path": request.raw_path.partition("?")[0]}
    log.error("request failed", exc_info=error, extra={"kv": where})
    return ApiError("InternalError", "an error on the server: the daemon's log has it")


def _failed(request: web.BaseRequest, error: ApiError) -> web.StreamResponse:
    """The answer that an error is; the end of the connection, if another answer has begun."""
    if request.writer.output_size > 0:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the answer has begun and cannot be replaced")
    return failure(error)


async def sent(answer: web.StreamResponse, request: web.BaseRequest) -> web.StreamResponse:
    """`answer`; a large one has been sent when this returns, or the client was too slow for it."""
    if not isinstance(answer, web.Response) or (answer.content_length or 0) < QUICK_BYTES:
        return answer
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await answer.prepare(request)
            await answer.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return answer


def not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError("MethodNotAllowed", message)
