"""The few plain HTTP answers that probes and scrapers want: /health, /ready, /metrics.

An HTTP library would cost ten times the resolver's start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from netemu.dns.runtime import Handler

TIMEOUT = 5.0
MAX_HEAD = 16 * 1024

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


async def serve_client(
    routes: Callable[[], Mapping[str, Handler]],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer one request, then close; what is no request gets no answer."""
    try:
        async with asyncio.timeout(TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
            method, _, rest = head.partition(b" ")
            path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
            status, kind, body = _answer(method, routes().get(path))
            writer.write(
                f"HTTP/1.1 {status} {_REASONS.get(status, 'OK')}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + (b"" if method == b"HEAD" else body)
            )
            await writer.drain()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


def _answer(method: bytes, handler: Handler | None) -> tuple[int, str, bytes]:
    if handler is None:
        return 404, "text/plain; charset=utf-8", b"404 page not found\n"
    if method not in (b"GET", b"HEAD"):
        return 405, "text/plain; charset=utf-8", b"only GET is answered\n"
    return handler()
