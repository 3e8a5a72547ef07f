"""One request on its way through the server, and the ways to answer it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from netemu.api.kind import Kind, Object
from netemu.apiserver.auth.user import ANONYMOUS, User
from netemu.apiserver.http import body
from netemu.apiserver.http.negotiation import JSON, form_of
from netemu.apiserver.http.render import Renderer, encode
from netemu.apiserver.http.requestinfo import RequestInfo
from netemu.apiserver.pipeline.context import Context, Options
from netemu.apiserver.pipeline.shape import field_validation
from netemu.errors import ApiError

if TYPE_CHECKING:
    from netemu.apiserver.server import ApiServer

MANAGER_BYTES = 128
_WHOLE = re.compile("[+-]?[0-9]{1,400}").fullmatch
_LINE_END = re.compile("[\r\n\0]")
_INT64 = 1 << 63


class Request(Protocol):
    """What every request has, whether aiohttp read it or we did (`PlainRequest`)."""

    @property
    def method(self) -> str: ...

    @property
    def raw_path(self) -> str:
        """The target as the request line has it, with its query."""

    @property
    def headers(self) -> CIMultiDictProxy[str] | CIMultiDict[str]: ...

    @property
    def transport(self) -> asyncio.Transport | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRequest:
    """A request that aiohttp did not read."""

    method: str
    raw_path: str
    headers: CIMultiDict[str]
    transport: asyncio.Transport | None
    body: bytes = b""


@dataclass(slots=True)
class Call:
    """`http` is aiohttp's request, for answers that are streams."""

    server: ApiServer
    request: Request
    info: RequestInfo
    query: Mapping[str, str]
    warnings: list[str] = field(default_factory=list)
    user: User = ANONYMOUS
    duplicates: tuple[str, ...] = ()
    """Keys that the body had twice."""

    @property
    def http(self) -> web.BaseRequest:
        assert isinstance(self.request, web.BaseRequest)
        return self.request

    @property
    def media_type(self) -> str:
        """What the client calls its body."""
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """All of the body; ApiError when it is too large or does not come."""
        if isinstance(self.request, PlainRequest):
            return self.request.body
        return await body.read(self.http)

    async def document(self) -> Object:
        """The body, which must be an object."""
        return body.decode_object(await self.body(), self.media_type)

    @property
    def raw_path(self) -> str:
        """The path as it was sent, percent-encoded."""
        return self.request.raw_path.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """The query as it was sent, with its question mark."""
        _, mark, query = self.request.raw_path.partition("?")
        return mark + query

    @property
    def ctx(self) -> Context:
        return self.server.context

    def renderer(self, kind: Kind) -> Renderer:
        """How this client wants objects of `kind`; ApiError NotAcceptable if it cannot be."""
        return Renderer(
            kind=kind,
            api_version=self.info.api_version,
            form=form_of(self.request.headers.get("Accept", "")),
            include=self.query.get("includeObject") or "Metadata",
            now=self.ctx.clock.now,
        )

    def options(self) -> Options:
        """Create, update and patch options of the query."""
        return Options(
            dry_run=self.dry_run(),
            field_manager=self._manager(),
            force=self.query.get("force") in ("true", "1"),
            field_validation=field_validation(self.query.get("fieldValidation", "")),
            duplicates=self.duplicates,
            warnings=self.warnings,
            api_version=self.info.api_version,
        )

    def dry_run(self) -> bool:
        value = self.query.get("dryRun", "")
        if value not in ("", "All"):
            message = f'dryRun: Unsupported value: "{value}": supported values: "All"'
            raise ApiError("Invalid", message)
        return value == "All"

    def _manager(self) -> str:
        """`fieldManager`, or the User-Agent up to its first slash."""
        named = self.query.get("fieldManager", "")
        if len(named) > MANAGER_BYTES:
            raise ApiError(
                "Invalid", f"fieldManager: Too long: may not be more than {MANAGER_BYTES}"
            )
        return named or self.request.headers.get("User-Agent", "").partition("/")[0] or "unknown"

    def number(self, key: str) -> int | None:
        """A query parameter that must be a whole number, of 64 bits as Go has them."""
        text = self.query.get(key, "")
        if not text:
            return None
        if not _WHOLE(text):
            raise ApiError("BadRequest", f'{key}: invalid number "{text}"')
        found = int(text)
        if not -_INT64 <= found < _INT64:
            raise ApiError("BadRequest", f'{key}: parsing "{text}": value out of range')
        return found

    def answer(self, data: bytes, *, status: int = 200, content_type: str = JSON) -> web.Response:
        headers = CIMultiDict({"Content-Type": content_type, "Cache-Control": "no-cache, private"})
        for warning in self.warnings:
            text = _LINE_END.sub(" ", warning).replace("\\", "\\\\").replace('"', '\\"')
            headers.add("Warning", f'299 - "{text}"')
        return web.Response(body=data, status=status, headers=headers)

    def json(self, document: Object, *, status: int = 200) -> web.Response:
        return self.answer(encode(document), status=status)

    def text(self, text: str, *, status: int = 200) -> web.Response:
        return self.answer(text.encode(), status=status, content_type="text/plain; charset=utf-8")


def success(**details: Any) -> Object:
    """A `v1/Status` that says that it went well."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return status | ({"details": details} if details else {})


def failure(error: ApiError) -> web.Response:
    """The answer that an error is."""
    response = web.Response(body=_status(error), status=error.code, content_type=JSON)
    retry = error.details.get("retryAfterSeconds")
    if retry:
        response.headers["Retry-After"] = str(retry)
    return response


def refusal(error: ApiError) -> bytes:
    """The same as bytes, where aiohttp has no part in it; the connection ends with it."""
    body = _status(error)
    head = (
        f"HTTP/1.1 {error.code} {error.reason}\r\nContent-Type: {JSON}\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _status(error: ApiError) -> bytes:
    """A message may quote what a client sent, even if that was no text."""
    status = error.to_status()
    try:
        return encode(status)
    except UnicodeEncodeError:
        return json.dumps(status, ensure_ascii=False).encode("utf-8", "replace")
