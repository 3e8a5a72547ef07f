"""Large answers go out compressed when the client can read that, as kube-apiserver's do.

https://github.com/kubernetes/kubernetes/pull/77449: gzip, level 1, from 128 KiB on.
"""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web

from netemu.apiserver.http.call import Request

SMALLEST = 128 * 1024
_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS


async def compressed(request: Request, answer: web.StreamResponse) -> web.StreamResponse:
    """`answer`, with its body compressed if it is large and the client accepts gzip."""
    if not isinstance(answer, web.Response) or answer.prepared or answer.status != 200:
        return answer
    body = answer.body
    if not isinstance(body, bytes) or len(body) < SMALLEST:
        return answer
    if not accepts_gzip(request.headers.get("Accept-Encoding", "")):
        return answer
    answer.body = await asyncio.to_thread(_gzip, body)  # zlib gives the interpreter's lock away
    answer.headers["Content-Encoding"] = "gzip"
    answer.headers.add("Vary", "Accept-Encoding")
    return answer


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header names gzip, and not with the quality 0."""
    for part in header.split(","):
        name, _, parameter = part.partition(";")
        if name.strip().lower() == "gzip":
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _gzip(data: bytes) -> bytes:
    compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compress.compress(data) + compress.flush()
