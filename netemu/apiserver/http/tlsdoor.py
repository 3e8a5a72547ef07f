"""The TCP listeners' first look at a connection: TLS goes on, plain HTTP is told what is missing.

As Go's server does, which clients and people know the answer of:
https://github.com/golang/go/blob/master/src/net/http/server.go (tlsRecordHeaderLooksLikeHTTP)
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable
from typing import cast

sslproto.SSLProtocol.max_size = 8 * 1024
"""Bytes of a buffer that asyncio keeps for each connection with TLS: 256 KiB unless told, which a
thousand idle watches would not be worth."""
_HANDSHAKE_SECONDS = 10
_RECORD_HEADER = 5
_HTTP = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO", b"PATCH", b"DELET")
"""No TLS record begins like that. The last two are missing in Go's list."""
_ANSWER = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class TlsDoor(asyncio.Protocol):
    """Holds the first bytes of a connection until they say what it speaks."""

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext,
        waiting: set[TlsDoor],
    ) -> None:
        """`factory` makes who speaks inside of TLS; `waiting` has the doors still closed."""
        self._factory, self._tls, self._waiting = factory, tls, waiting
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._waiting.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_HANDSHAKE_SECONDS, self._transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()

    def close(self) -> None:
        """The server stops."""
        self._leave()
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._data[:_RECORD_HEADER] in _HTTP:
            self._leave()
            self._transport.write(_ANSWER)
            self._transport.close()
        elif not any(start.startswith(self._data) for start in _HTTP):
            self._leave()
            self._shake_hands()

    def _leave(self) -> None:
        self._timer.cancel()
        self._waiting.discard(self)

    def _shake_hands(self) -> None:
        """What `create_server(ssl=…)` does, but that the first bytes have been read already."""
        protocol = sslproto.SSLProtocol(
            asyncio.get_running_loop(),
            self._factory(),
            self._tls,
            cast(asyncio.Future[None], None),  # nobody waits for the end of the handshake
            server_side=True,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
        )
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        rest = memoryview(self._data)
        while rest and not self._transport.is_closing():
            buffer = protocol.get_buffer(len(rest))
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            protocol.buffer_updated(count)
            rest = rest[count:]
