"""Reads of one object, answered before aiohttp sees them.

The commonest request of all is `GET …/{name}` on a kept connection. For each, aiohttp makes a task,
a request, a response and two turns of the loop, which takes longer than the answer. So a connection
that waits for its next request looks at it first: a plain read whose answer is at hand is written
at once. Everything else goes to aiohttp, every error too: one place explains.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict

from netemu.apiserver.http.call import failure
from netemu.apiserver.http.requestinfo import origin_form
from netemu.errors import ApiError

log = logging.getLogger(__name__)

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,18}) *\r\n", re.IGNORECASE)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_PLAIN = frozenset(
    (
        *("connection", "content-length", "transfer-encoding", "upgrade", "expect", "trailer"),
        *("range", "if-match", "if-none-match", "content-encoding"),
    )
)
"""Headers that make more of a request than its path says, but for `_HARMLESS` ones."""
_HARMLESS = (("connection", "keep-alive"), ("content-length", "0"))
_LARGEST_HEAD = 4096

Answer = Callable[[str, CIMultiDict[str], "asyncio.Transport | None"], "bytes | None"]
"""(path, headers, transport) → the body to answer with, or None to let aiohttp do it."""


class QuickProtocol(web.RequestHandler):
    """aiohttp's connection, with a short cut."""

    __slots__ = ("_aligned", "_answer", "_missing")

    def __init__(self, manager: QuickServer, answer: Answer, **options: object) -> None:
        super().__init__(manager, **options)  # type: ignore[arg-type]
        self._answer = answer
        self._aligned = True  # the next byte starts a request, or is one of `_missing`
        self._missing = 0  # bytes of the last request's body that are still to come

    def data_received(self, data: bytes) -> None:
        if self._aligned and data:  # aiohttp calls itself with nothing, to look again
            if not self._missing and self._is_idle() and self._answered(data):
                return
            self._follow(data)
        super().data_received(data)

    def _is_idle(self) -> bool:
        """Whether all earlier requests are answered, and the client reads what we write."""
        waiter = getattr(self, "_waiter", None)
        timer = getattr(self, "_keepalive_handle", None)
        return (
            waiter is not None and not waiter.done() and timer is not None
        ) and not self.writing_paused

    def _follow(self, data: bytes) -> None:
        """Note where the next request starts, as long as that is easy to say."""
        if self._missing:
            self._missing -= len(data)
        else:
            head, end, body = data.partition(_END)
            found = _LENGTH.findall(head + b"\r\n")
            self._missing = int(found[0]) - len(body) if found else -len(body)
            self._aligned = bool(end) and len(found) < 2
        if self._missing < 0 or self._upgraded:
            self._aligned = False

    def _answered(self, data: bytes) -> bool:
        line, _, fields = data.partition(b"\r\n")
        if not (line.startswith(b"GET /api") and line.endswith(b" HTTP/1.1")):
            return False
        headers = _headers(fields) if len(data) <= _LARGEST_HEAD else None
        if headers is None or b"?" in line or not line.isascii():
            return False
        body = self._answer(line[4:-9].decode(), headers, self.transport)
        if body is None or self.transport is None:
            return False
        self.transport.write(_head(int(time.time()), len(body)) + body)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or too much of it, is answered with a Status like all else."""
        log.debug("bad request", extra={"kv": {"error": str(exc)}})
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun and cannot be replaced")
        error = ApiError("BadRequest", f"the request is not valid HTTP: {_first_line(message)}")
        if isinstance(exc, LineTooLong):
            what = "a line of the request's header is too long"
            error = ApiError("RequestHeaderFieldsTooLarge", what, code=431)
        response = failure(error)
        response.force_close()
        return response


def _first_line(message: str | None) -> str:
    return (message or "").strip().partition("\n")[0]


class QuickServer(web.Server):
    """A server of such connections."""

    def __init__(self, handler: object, answer: Answer, **options: object) -> None:
        super().__init__(handler, **options)  # type: ignore[arg-type]
        self._answer = answer

    def _make_request(self, message: RawRequestMessage, *more: Any) -> web.BaseRequest:
        """A request whose target is a path, even if a whole URL was sent."""
        path = origin_form(message.path)
        if path is not message.path:
            message = message._replace(path=path)
        return super()._make_request(message, *more)

    def __call__(self) -> web.RequestHandler:
        return QuickProtocol(self, self._answer, loop=self._loop, **self._kwargs)


@lru_cache(maxsize=128)
def _headers(fields: bytes) -> CIMultiDict[str] | None:
    """The headers of a request without a body; None when there is more to it.

    A client sends the same ones each time, so most are read once. Callers must not change them.
    """
    if not fields.endswith(_END) or fields.index(_END) != len(fields) - len(_END):
        return None
    found: CIMultiDict[str] = CIMultiDict()
    for line in fields[: -len(_END)].split(b"\r\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        lower = name.lower()
        if not colon or not _NAME.fullmatch(name) or "\n" in value or "\r" in value:
            return None
        if lower in _NOT_PLAIN and (lower, value.strip().lower()) not in _HARMLESS:
            return None
        found.add(name, value.strip())
    return found if len(found.getall("Host", ())) == 1 else None


@lru_cache(maxsize=256)
def _head(second: int, length: int) -> bytes:
    return (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "Cache-Control: no-cache, private\r\n"
        f"Content-Length: {length}\r\nDate: {formatdate(second, usegmt=True)}\r\n\r\n"
    ).encode()
