"""The body of a proxied HTML page, with its links made to lead back here."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from netemu.apiserver.http.proxy.links import HtmlLinks, Links
from netemu.client.connection import Response

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 64 * 1024


def html_body(answer: Response, links: Links) -> AsyncIterator[bytes] | None:
    """The rewritten page; None when the answer is none, or is encoded in an unknown way."""
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = answer.headers.get("content-encoding", "").lower()
    if media != "text/html" or encoding not in ("", "identity", "gzip"):
        return None
    page = HtmlLinks(links)
    if encoding == "gzip":
        return _deflated(_rewritten(_inflated(answer.parts()), page))
    return _rewritten(answer.parts(), page)


async def _rewritten(parts: AsyncIterator[bytes], page: HtmlLinks) -> AsyncIterator[bytes]:
    async for part in parts:
        if done := page.feed(part):
            yield done
    if rest := page.finish():
        yield rest


async def _inflated(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Piece by piece: little can become much."""
    inflate = zlib.decompressobj(_GZIP)
    async for part in parts:
        while part and not inflate.eof:
            yield inflate.decompress(part, _PIECE)
            part = inflate.unconsumed_tail


async def _deflated(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    deflate = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    async for part in parts:
        yield deflate.compress(part) + deflate.flush(zlib.Z_SYNC_FLUSH)
    yield deflate.flush()
