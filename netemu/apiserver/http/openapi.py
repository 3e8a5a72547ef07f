"""OpenAPI: v3 by group and version, and v2 as JSON or in the protobuf form of older kubectls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from netemu.api.kind import Object
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.negotiation import JSON, accepted
from netemu.apiserver.registry import UNKNOWN_PATH
from netemu.errors import ApiError

_MADE_BY_US = "application/com.github.proto-openapi.spec.v2"


async def serve_openapi(call: Call) -> web.StreamResponse:
    """`/openapi/v2`, `/openapi/v3` and the documents below it."""
    parts = [part for part in call.info.path.split("/") if part]
    if call.request.method not in ("GET", "HEAD"):
        raise ApiError("MethodNotAllowed", "OpenAPI documents can only be read")
    from netemu.api import openapi  # with its protobuf it costs a start 60 ms

    kinds = call.server.registry.kinds()
    if parts == ["openapi", "v2"]:
        if _wants_protobuf(call):
            data = await _made(call, "openapi v2 protobuf", lambda: openapi.v2_protobuf(kinds))
            return call.answer(data, content_type=openapi.V2_PROTOBUF_TYPE)
        return call.answer(await _made(call, "openapi v2", lambda: openapi.v2_document(kinds)))
    if parts == ["openapi", "v3"]:
        return call.answer(await _made(call, "openapi v3", lambda: openapi.v3_index(kinds)))
    group, version = _group_version(parts)

    def make() -> Object:
        found = openapi.v3_document(kinds, group, version)
        if found is None:
            raise ApiError("NotFound", UNKNOWN_PATH)
        return found

    answer = call.answer(await _made(call, f"openapi v3 {group}/{version}", make))
    if call.query.get("hash"):
        answer.headers["Cache-Control"] = "public, immutable"
    return answer


async def _made(call: Call, name: str, make: Callable[[], Object | bytes]) -> bytes:
    """In another thread: it takes up to half a second, and the cluster must not wait."""
    return await asyncio.to_thread(call.server.documents.get, name, make)


def _group_version(parts: list[str]) -> tuple[str, str]:
    match parts[2:] if parts[:2] == ["openapi", "v3"] else []:
        case ["api", version]:
            return "", version
        case ["apis", group, version]:
            return group, version
    raise ApiError("NotFound", UNKNOWN_PATH)


def _wants_protobuf(call: Call) -> bool:
    """Whether the client's first choice that we know is gnostic's protobuf."""
    for media, _ in accepted(call.request.headers.get("Accept", "")):
        if media.startswith(_MADE_BY_US):
            return True
        if media in (JSON, "*/*"):
            return False
    return False
