"""Plain writes of objects, answered without aiohttp: its part of a create was more than half.

A request that came whole needs no parser that can wait, no stream for its body, and no turns of the
loop to pass it on: one task answers it, with the functions that answer all others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from netemu.apiserver.http import plainhttp
from netemu.apiserver.http.call import Call, PlainRequest
from netemu.apiserver.http.handler import PARTS, Handler

_METHODS = (b"POST /api", b"PUT /api", b"PATCH /api", b"DELETE /api")
_VERBS = ("create", "update", "patch", "delete")


class QuickWrites:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __call__(
        self, data: bytes, transport: asyncio.Transport
    ) -> Callable[[], Awaitable[bytes]] | None:
        """What makes the answer to `data`; None when that is not one plain write."""
        request = plainhttp.whole(data) if data.startswith(_METHODS) else None
        if request is None:
            return None
        method, target, headers, body = request
        plain = PlainRequest(
            method=method, raw_path=target, headers=headers, transport=transport, body=body
        )
        call = self._handler.call(plain, plainhttp.query(target))
        info = call.info
        if info.verb not in _VERBS or not info.is_resource:
            return None
        if info.subresource and info.subresource not in PARTS:
            return None
        return partial(self._answer, call)

    async def _answer(self, call: Call) -> bytes:
        answer = await self._handler.answer(call)
        body = answer.body or b""
        assert isinstance(body, bytes), call.info
        fields = answer.headers.items()
        now = int(time.time())
        return plainhttp.head(answer.status, answer.reason, fields, now, len(body)) + body
