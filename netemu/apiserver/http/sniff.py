"""The first request of a connection is looked at before aiohttp gets it.

Two things aiohttp does not do: it waits for ever for the rest of a header, and it knows no upgrade
but to WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from netemu.apiserver.http.call import refusal
from netemu.errors import ApiError

_MOST_HEADER = 64 * 1024
_HEADER_SECONDS = 10.0
_END = b"\r\n\r\n"


class Sniffer(asyncio.Protocol):
    """Holds bytes until the first header is complete, then hands the connection on."""

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        is_upgrade: Callable[[bytes], bool],
        on_upgrade: Callable[[asyncio.Transport, bytes, bytes], None],
        waiting: set[Sniffer],
    ) -> None:
        """`waiting` has the sniffers that still wait for a header."""
        self._factory, self._waiting = factory, waiting
        self._is_upgrade, self._on_upgrade = is_upgrade, on_upgrade
        self._data = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._waiting.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_HEADER_SECONDS, self._too_slow)

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_timer()

    def close(self) -> None:
        """The server stops: nobody will read what comes."""
        self._stop_timer()
        self._transport.abort()

    def _stop_timer(self) -> None:
        self._waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        searched = max(0, len(self._data) - len(_END))
        self._data += data
        end = self._data.find(_END, searched)
        if end >= 0 or self._data.find(b"\n\n", searched) >= 0 or not _may_be_http(self._data):
            self._stop_timer()
            self._hand_on(end)
        elif len(self._data) > _MOST_HEADER:
            message = f"the request's header is longer than {_MOST_HEADER} bytes"
            self._refuse(ApiError("RequestHeaderFieldsTooLarge", message, code=431))

    def _hand_on(self, end: int) -> None:
        """`end`: where the header ends; negative when aiohttp shall say what is wrong with it."""
        data, self._data = bytes(self._data), bytearray()
        if end >= 0 and self._is_upgrade(data[:end]):
            self._on_upgrade(self._transport, data[:end], data[end + len(_END) :])
            return
        protocol: Any = self._factory()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    def _too_slow(self) -> None:
        if self._data:
            message = f"the request's header did not arrive within {_HEADER_SECONDS:g} s"
            self._refuse(ApiError("Timeout", message, code=408))
        else:
            self._transport.close()

    def _refuse(self, error: ApiError) -> None:
        self._stop_timer()
        self._transport.write(refusal(error))
        self._transport.close()


def _may_be_http(data: bytearray) -> bool:
    """Whether what came so far can begin a request: a method is of letters, and short."""
    start = data[:32].lstrip(b"\r\n")
    method, space, _ = start.partition(b" ")
    return not start or (method.isalpha() and (bool(space) or len(start) < 16))
