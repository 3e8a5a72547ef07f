"""A client's connection after its upgrade: bytes both ways, and both directions held in check."""

from __future__ import annotations

import asyncio

_LINGER_SECONDS = 5.0
_MOST_QUEUED = 16


class RawConnection(asyncio.Protocol):
    """The transport's protocol from the upgrade request on; `first`: what came behind it."""

    def __init__(self, transport: asyncio.Transport, first: bytes) -> None:
        self.transport = transport
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self.lost = asyncio.Event()
        if first:
            self._incoming.put_nowait(first)
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._incoming.put_nowait(data)
        if self._incoming.qsize() > _MOST_QUEUED:
            self.transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()
        self._writable.set()
        self._incoming.put_nowait(b"")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def read(self) -> bytes:
        """The next bytes; empty once the client has gone."""
        if self.lost.is_set() and self._incoming.empty():
            return b""
        data = await self._incoming.get()
        if self._incoming.empty() and not self.transport.is_closing():
            self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Returns when the client keeps up; ConnectionError when it has gone."""
        await self._writable.wait()
        if self.lost.is_set():
            raise ConnectionResetError("the client has gone")
        self.transport.write(data)

    async def close(self) -> None:
        """Let the client read what was sent: it hangs up first, or we do after a while."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                await self.lost.wait()
        except TimeoutError:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()
