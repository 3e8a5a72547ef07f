"""Reading what a client sent: bounded in size and time, as JSON, YAML or protobuf."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from netemu.api.depth import DEEPEST, is_too_deep
from netemu.api.kind import Object
from netemu.errors import ApiError

MOST_BYTES = 3 * 1024 * 1024
"""kube-apiserver's limit for a request body."""
_SECONDS = 30.0

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_decode = msgspec.json.Decoder().decode


def invite(request: web.BaseRequest) -> None:
    """Let the client send its body, if it waits to be asked to (`Expect: 100-continue`)."""
    expected = request.headers.get("Expect", "").lower()
    if expected == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def read(request: web.BaseRequest) -> bytes:
    """The whole body; ApiError when it is too large or does not come."""
    too_large = ApiError(
        "RequestEntityTooLarge", f"Request entity too large: limit is {MOST_BYTES}"
    )
    if (request.content_length or 0) > MOST_BYTES:
        raise too_large
    content = request.content
    if content.is_eof() and content.exception() is None:  # all of it came with the head
        data = content.read_nowait()
        if len(data) > MOST_BYTES:
            raise too_large
        return data
    invite(request)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_SECONDS):
            while part := await content.readany():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise too_large
    except TimeoutError:
        message = f"the request body did not arrive within {_SECONDS:g} s"
        raise ApiError("Timeout", message, code=408) from None
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise ApiError("BadRequest", f"the request body is not valid HTTP: {error}") from error
    return b"".join(parts)


def decode(data: bytes, media: str) -> Any:
    """The body as JSON values, of a bearable depth. Without a Content-Type it is JSON."""
    found = _decoded(data, media)
    flow = data[:1] in b"{["  # whose levels can be counted without a look at the values
    if not (flow and data.count(b"{") + data.count(b"[") <= DEEPEST) and is_too_deep(found):
        raise ApiError("BadRequest", f"the request body is nested deeper than {DEEPEST} levels")
    return found


def _decoded(data: bytes, media: str) -> Any:
    if media in (JSON, "", "text/plain", "application/x-www-form-urlencoded") or media.endswith(
        "+json"
    ):
        return _decode_json(data)
    if media in (YAML, "text/yaml", "application/x-yaml") or media.endswith("+yaml"):
        return _decode_yaml(data)
    if media == PROTOBUF:
        return _protobuf(data)
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        f"{JSON}, {YAML}, {PROTOBUF}"
    )
    raise ApiError("UnsupportedMediaType", message)


def decode_object(data: bytes, media: str) -> Object:
    """A body that must be an object."""
    found = decode(data, media)
    if not isinstance(found, dict):
        raise ApiError("BadRequest", "the request body must be an object, with apiVersion and kind")
    return found


def _decode_json(data: bytes) -> Any:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError("BadRequest", f"the request body is not valid JSON: {error}") from error


def _decode_yaml(data: bytes) -> Any:
    """One YAML document, or JSON."""
    if data[:1] in b"{[" and data:
        try:
            return _decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass  # YAML's flow style looks much the same
    from netemu.apiserver.http import yamlbody  # kubectl sends JSON even here

    return yamlbody.decode(data)


def _protobuf(data: bytes) -> Any:
    from netemu.api import protobuf  # 20 ms and 10 MB that a cluster without old clients saves

    return protobuf.decode(data)
