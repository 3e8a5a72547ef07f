"""SPDY/3.1, the server's side, as far as Kubernetes clients use it: no flow control, no push.

Knows no sockets: bytes come in by `feed` and go out by `write`, so that the same session runs on a
connection of its own and inside a WebSocket (KEP-4006).
https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from netemu.apiserver.streams.spdydict import DICTIONARY

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1
_MOST_FRAME = 4 << 20
_MOST_HEADERS = 64 << 10
_MOST_STREAMS = 1024
_PIECE = 32 << 10
_MOST_WAITING = 1 << 20
_PROTOCOL_ERROR = 1


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1 as we know it; the connection cannot go on."""


class Stream:
    """One stream that the client opened. Read it with `read`, answer with `send`."""

    def __init__(self, session: Session, number: int, headers: Mapping[str, str]) -> None:
        self._session, self.number, self.headers = session, number, headers
        self._incoming: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._finished = False

    def feed(self, data: bytes, *, fin: bool) -> None:
        if data and not self._ended:
            self._incoming.append(data)
            self._session.waiting += len(data)
        self._ended = self._ended or fin
        self._wake.set()
        self._forget_when_over()

    def _forget_when_over(self) -> None:
        if self._ended and self._finished:
            self._session.forget(self)

    async def read(self) -> bytes:
        """The next bytes; empty when the client has closed its side."""
        while not self._incoming:
            if self._ended:
                return b""
            self._wake.clear()
            await self._wake.wait()
        data = self._incoming.popleft()
        self._session.consumed(len(data))
        return data

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            if not self._finished:
                await self._session.send_frame(struct.pack(">II", self.number, len(piece)) + piece)

    async def finish(self) -> None:
        """Close our side."""
        if not self._finished:
            self._finished = True
            await self._session.send_frame(struct.pack(">II", self.number, _FIN << 24))
            self._forget_when_over()

    async def reset(self) -> None:
        """Give the stream up."""
        self._finished = self._ended = True
        self._wake.set()
        reset = struct.pack(">II", self.number, _PROTOCOL_ERROR)
        await self._session.send_frame(_control(_RST_STREAM, 0, reset))
        self._session.forget(self)


class Session:
    """All streams of one connection; `on_stream` hears of each new one.

    `write` may wait until the peer has read; await `drained` before feeding more, so that data
    nobody reads cannot fill the memory.
    """

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        on_stream: Callable[[Stream], None],
    ) -> None:
        self._write, self._on_stream = write, on_stream
        self._buffer = bytearray()
        self._streams: dict[int, Stream] = {}
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._replies: list[bytes] = []
        self._drained = asyncio.Event()
        self.waiting = 0

    async def send_frame(self, frame: bytes) -> None:
        await self._write(frame)

    def forget(self, stream: Stream) -> None:
        """Both sides have closed it."""
        self._streams.pop(stream.number, None)
        self._drained.set()

    def consumed(self, count: int) -> None:
        self.waiting -= count
        if self.waiting <= _MOST_WAITING:
            self._drained.set()

    async def drained(self) -> None:
        """Wait until the streams' readers have caught up."""
        if self.waiting > _MOST_WAITING:
            self._drained.clear()
            await self._drained.wait()

    async def feed(self, data: bytes) -> None:
        """Take in bytes of the peer; SpdyError when they make no sense."""
        self._buffer += data
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if length > _MOST_FRAME:
                raise SpdyError(f"a frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                break
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if first >> 31:
                self._control(first & 0xFFFF, flags, payload)
            elif first in self._streams:
                self._streams[first].feed(payload, fin=bool(flags & _FIN))
        replies, self._replies = self._replies, []
        for reply in replies:
            await self._write(reply)

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _SYN_STREAM:
            self._open(flags, payload)
        elif kind == _PING:
            self._replies.append(_control(_PING, 0, payload))
        elif kind == _RST_STREAM and len(payload) >= 4:
            stream = self._streams.pop(struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF, None)
            if stream is not None:
                stream.feed(b"", fin=True)
        elif kind == _GOAWAY:
            self.end()

    def _open(self, flags: int, payload: bytes) -> None:
        if len(payload) < 10 or len(self._streams) >= _MOST_STREAMS:
            raise SpdyError("a stream that cannot be opened")
        number = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        stream = Stream(self, number, self._headers(payload[10:]))
        self._streams[number] = stream
        reply = struct.pack(">I", number) + self._no_headers()
        self._replies.append(_control(_SYN_REPLY, 0, reply))
        if flags & _FIN:
            stream.feed(b"", fin=True)
        self._on_stream(stream)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            raw = self._inflate.decompress(block, _MOST_HEADERS)
            if self._inflate.unconsumed_tail:
                raise SpdyError("headers that are too large")
            count, at = struct.unpack_from(">I", raw)[0], 4
            headers = {}
            for _ in range(count):
                name, at = _text(raw, at)
                value, at = _text(raw, at)
                headers[name.lower()] = value
        except (zlib.error, struct.error) as error:
            raise SpdyError(f"headers that cannot be read: {error}") from error
        return headers

    def _no_headers(self) -> bytes:
        packed = self._deflate.compress(struct.pack(">I", 0))
        return packed + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> None:
        """The peer has gone: every reader gets its end."""
        for stream in tuple(self._streams.values()):
            stream.feed(b"", fin=True)


def _text(raw: bytes, at: int) -> tuple[str, int]:
    length = struct.unpack_from(">I", raw, at)[0]
    end = at + 4 + length
    if end > len(raw):
        raise SpdyError("headers that end too early")
    return raw[at + 4 : end].decode("utf-8", "replace"), end


def _control(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">II", 0x80030000 | kind, flags << 24 | len(payload)) + payload
