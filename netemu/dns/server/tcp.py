"""TCP: two octets of length in front of each message, many queries a connection, answers in order.

RFC 7766. A connection that asks nothing for ten seconds is closed; one that does not read its
answers is not read from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from netemu.dns import message
from netemu.dns.message import Query, Reply
from netemu.dns.server.respond import Responder

IDLE = 10.0
"""Seconds, as CoreDNS has it."""
MAX_WAITING = 128
"""Queries of one connection that may wait for their answers."""
MAX_CONNECTIONS = 2048


class TcpConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, responder: Responder, open_: set[TcpConnection]) -> None:
        self._responder = responder
        self._open = open_
        self._buffer = bytearray()
        self._answers: deque[list[bytes | None]] = deque()
        """A slot for each query, in order; filled when its answer is there."""
        self._paused = False
        self._ended = False
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._client: tuple[Any, ...] = ()
        self._local: tuple[Any, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._open) >= MAX_CONNECTIONS:
            transport.abort()
            return
        self._open.add(self)
        self._client = transport.get_extra_info("peername") or ("", 0)
        self._local = transport.get_extra_info("sockname") or ("", 0)
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._answers.clear()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._rest()
        self._take()

    def eof_received(self) -> bool:
        """A client that only closes its sending half still gets its answers."""
        self._ended = True
        return bool(self._answers)

    def pause_writing(self) -> None:
        self._paused = True
        self._throttle()

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def _rest(self) -> None:
        """Start the idle time anew."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE, self._idle)

    def _idle(self) -> None:
        if self._answers and not self._paused:
            self._rest()
        else:
            self._transport.abort() if self._paused else self._transport.close()

    def _take(self) -> None:
        buffer = self._buffer
        family = 6 if len(self._client) == 4 else 4
        at = 0
        while len(buffer) - at >= 2 and len(self._answers) < MAX_WAITING and not self._paused:
            size = buffer[at] << 8 | buffer[at + 1]
            if len(buffer) - at - 2 < size:
                break
            data = bytes(buffer[at + 2 : at + 2 + size])
            at += 2 + size
            slot: list[bytes | None] = [None]
            self._answers.append(slot)
            self._responder.respond(
                data, self._client, self._local, "tcp", family, self._sender(slot)
            )
            if slot[0] is None and _is_silent(data):
                self._answers.remove(slot)
        del buffer[:at]
        self._flush()

    def _sender(self, slot: list[bytes | None]) -> Any:
        def send(wire: bytes, query: Query | None, reply: Reply | None) -> None:
            frames = [wire] if wire else []
            if query is not None and reply is not None:
                frames += [message.encode(query, each) for each in reply.following]
            slot[0] = b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)
            if self._answers and self._answers[0] is slot:
                self._flush()

        return send

    def _flush(self) -> None:
        ready = []
        while self._answers and self._answers[0][0] is not None:
            ready.append(self._answers.popleft()[0])
        if ready and not self._transport.is_closing():
            self._transport.write(b"".join(wire for wire in ready if wire is not None))
        if self._ended and not self._answers:
            self._transport.close()
            return
        self._throttle()

    def _throttle(self) -> None:
        """Read on only while the client takes its answers and few of them wait."""
        if self._transport.is_closing():
            return
        if self._paused or len(self._answers) >= MAX_WAITING:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
            if len(self._buffer) >= 2:
                asyncio.get_running_loop().call_soon(self._take_more)

    def _take_more(self) -> None:
        size = len(self._buffer)
        if size >= 2 and size >= 2 + (self._buffer[0] << 8 | self._buffer[1]) and not self._ended:
            self._take()


def _is_silent(data: bytes) -> bool:
    """Messages that get no answer at all: cut headers, and responses."""
    return len(data) < 12 or bool(data[2] & 0x80)
