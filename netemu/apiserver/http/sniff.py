"""The first request of a connection is looked at before aiohttp gets it.

Two things aiohttp does not do: it waits for ever for the rest of a header, and it knows no SPDY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

_MOST_HEADER = 64 * 1024
_HEADER_SECONDS = 10.0
_SPDY = b"\r\nupgrade: spdy/3.1"


class Sniffer(asyncio.Protocol):
    """Holds bytes until the first header is complete, then hands the connection on."""

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        on_spdy: Callable[[asyncio.Transport, bytes, bytes], None],
        waiting: set[Sniffer],
    ) -> None:
        """`waiting` has the sniffers that still wait for a header."""
        self._factory, self._on_spdy, self._waiting = factory, on_spdy, waiting
        self._data = b""
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
        self._data += data
        if b"\r\n\r\n" in self._data or b"\n\n" in self._data:
            self._stop_timer()
            self._hand_on()
        elif len(self._data) > _MOST_HEADER:
            self._refuse(431, "Request Header Fields Too Large")

    def _hand_on(self) -> None:
        head, _, rest = self._data.partition(b"\r\n\r\n")
        if _SPDY in head.lower():
            self._data = b""
            self._on_spdy(self._transport, head, rest)
            return
        protocol: Any = self._factory()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._data)
        self._data = b""

    def _too_slow(self) -> None:
        if self._data:
            self._refuse(408, "Request Timeout")
        else:
            self._transport.close()

    def _refuse(self, code: int, reason: str) -> None:
        self._stop_timer()
        head = f"HTTP/1.1 {code} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self._transport.write(head.encode())
        self._transport.close()
