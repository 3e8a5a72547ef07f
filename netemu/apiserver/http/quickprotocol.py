"""A connection whose plain requests are answered before aiohttp sees them.

For each request aiohttp makes a task, a request, a response and several turns of the loop, which
takes longer than most answers. So a connection that waits for its next request looks at it first.
A plain `GET …/{name}`, the commonest request of all, is answered at once; a plain write by a task.
Everything else goes to aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict

from netemu.apiserver.http import plainhttp
from netemu.apiserver.http.call import failure
from netemu.apiserver.http.handler import SEND_SECONDS
from netemu.apiserver.http.requestinfo import origin_form
from netemu.errors import ApiError

log = logging.getLogger(__name__)

Read = Callable[[str, CIMultiDict[str], "asyncio.Transport | None"], "bytes | None"]
"""(path, headers, transport) → the body to answer a GET with, or None to let aiohttp do it."""
Answer = Callable[[], Awaitable[bytes]]
Write = Callable[[bytes, asyncio.Transport], "Answer | None"]
"""(what came, transport) → what makes the whole answer, or None to let aiohttp do it."""


class QuickProtocol(web.RequestHandler):
    """aiohttp's connection, with two short cuts."""

    __slots__ = ("_aligned", "_held", "_missing", "_read", "_write", "_writing")

    def __init__(self, manager: QuickServer, read: Read, write: Write, **options: object) -> None:
        super().__init__(manager, **options)  # type: ignore[arg-type]
        self._read, self._write = read, write
        self._aligned = True  # the next byte starts a request, or is one of `_missing`
        self._missing = 0  # bytes of the last request's body that are still to come
        self._writing: asyncio.Task[None] | None = None
        self._held = b""  # what came while `_writing`

    def data_received(self, data: bytes) -> None:
        if self._writing is not None:
            self._hold(data)
            return
        if self._aligned and data:  # aiohttp calls itself with nothing, to look again
            if (
                not self._missing
                and self._is_idle()
                and (self._answered(data) or self._begun(data))
            ):
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
            head, end, body = data.partition(plainhttp.END)
            found = plainhttp.lengths(head + b"\r\n")
            self._missing = int(found[0]) - len(body) if found else -len(body)
            self._aligned = bool(end) and len(found) < 2
        if self._missing < 0 or self._upgraded:
            self._aligned = False

    def _answered(self, data: bytes) -> bool:
        line, _, fields = data.partition(b"\r\n")
        if not (line.startswith(b"GET /api") and line.endswith(b" HTTP/1.1")):
            return False
        headers = plainhttp.headers(fields) if len(data) <= plainhttp.LARGEST_HEAD else None
        if headers is None or b"?" in line or not line.isascii():
            return False
        body = self._read(line[4:-9].decode(), headers, self.transport)
        if body is None or self.transport is None:
            return False
        self.transport.write(plainhttp.ok_head(int(time.time()), len(body)) + body)
        self._stay()
        return True

    def _stay(self) -> None:
        """Let the client have its time for the next request."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _begun(self, data: bytes) -> bool:
        answer = self._write(data, self.transport) if self.transport is not None else None
        if answer is None:
            return False
        self._stay()
        self._writing = self._loop.create_task(self._finish(answer))
        return True

    async def _finish(self, answer: Answer) -> None:
        """Send the answer to a write, then look at what came meanwhile."""
        try:
            await self._send(await answer())
        except (TimeoutError, ConnectionError):
            self._abort()
        except Exception:
            log.exception("a request could not be answered")
            self._abort()
        self._stay()
        self._writing = None
        if self._held:
            self._release()

    async def _send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)
        if self.writing_paused:
            async with asyncio.timeout(SEND_SECONDS):
                await self._drain_helper()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _hold(self, data: bytes) -> None:
        if not self._held:
            self._pause_transport_reading()
        self._held += data

    def _release(self) -> None:
        held, self._held = self._held, b""
        self._resume_transport_reading()
        self.data_received(held)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._writing is not None:
            self._writing.cancel()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        if self._writing is not None:
            await asyncio.wait((self._writing,), timeout=timeout)
        await super().shutdown(timeout)

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

    def __init__(self, handler: object, read: Read, write: Write, **options: object) -> None:
        super().__init__(handler, **options)  # type: ignore[arg-type]
        self._read, self._write = read, write

    def _make_request(self, message: RawRequestMessage, *more: Any) -> web.BaseRequest:
        """A request whose target is a path, even if a whole URL was sent."""
        path = origin_form(message.path)
        if path is not message.path:
            message = message._replace(path=path)
        return super()._make_request(message, *more)

    def __call__(self) -> web.RequestHandler:
        return QuickProtocol(self, self._read, self._write, loop=self._loop, **self._kwargs)
