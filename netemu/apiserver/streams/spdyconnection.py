"""A connection that was upgraded to SPDY/3.1: exec, attach or port-forward of older kubectls.

https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from netemu.aio import spawn
from netemu.api.kind import Object
from netemu.apiserver.http.render import encode
from netemu.apiserver.streams.ports import Connect, Forwarder
from netemu.apiserver.streams.rawconnection import RawConnection
from netemu.apiserver.streams.remote import (
    STDERR,
    STDOUT,
    Input,
    Resize,
    read_resize,
    serve_exec,
)
from netemu.apiserver.streams.spdy import Session, SpdyError, Stream
from netemu.client.kubelet import ExecSession

EXEC_PROTOCOLS = ("v4.channel.k8s.io", "v5.channel.k8s.io")
PORT_PROTOCOL = "portforward.k8s.io"
_STREAMS_SECONDS = 30.0


async def _feed(connection: RawConnection, session: Session) -> None:
    """Feed the session until the client goes."""
    while data := await connection.read():
        await session.feed(data)
        await session.drained()
    session.end()


class SpdyPeer:
    """The client of an exec: a stream for each of its channels; `remote.Peer`."""

    def __init__(
        self, group: asyncio.TaskGroup, streams: dict[str, Stream], lost: asyncio.Event
    ) -> None:
        self._streams, self._lost = streams, lost
        self._items: asyncio.Queue[Input | Resize | None] = asyncio.Queue(maxsize=16)
        readers = (self._read_stdin(), self._read_resize(), self._notice_loss())
        self._tasks = [spawn(group, reader, name="exec-stream") for reader in readers]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def incoming(self) -> AsyncIterator[Input | Resize]:
        while (item := await self._items.get()) is not None:
            yield item

    async def _read_stdin(self) -> None:
        stream = self._streams.get("stdin")
        while stream is not None:
            data = await stream.read()
            await self._items.put(Input(data))
            if not data:
                return

    async def _read_resize(self) -> None:
        """JSON documents one after another, split anywhere."""
        stream = self._streams.get("resize")
        rest = b""
        while stream is not None and (data := await stream.read()):
            *documents, rest = (rest + data).split(b"}")
            for document in documents:
                resize = read_resize(document + b"}")
                if resize is not None:
                    await self._items.put(resize)

    async def _notice_loss(self) -> None:
        await self._lost.wait()
        await self._items.put(None)

    async def send(self, channel: int, data: bytes) -> None:
        stream = self._streams.get({STDOUT: "stdout", STDERR: "stderr"}.get(channel, ""))
        if stream is not None:
            await stream.send(data)

    async def finish(self, status: Object) -> None:
        await self._streams["error"].send(encode(status))
        for stream in self._streams.values():
            await stream.finish()


async def serve_spdy_exec(
    connection: RawConnection,
    wanted: frozenset[str],
    start: Callable[[], Awaitable[ExecSession]],
) -> None:
    """Wait for the client's streams, then run the command."""
    streams: dict[str, Stream] = {}
    complete = asyncio.Event()

    def on_stream(stream: Stream) -> None:
        streams[stream.headers.get("streamtype", "")] = stream
        if wanted <= set(streams):
            complete.set()

    session = Session(connection.write, on_stream)
    try:
        async with asyncio.TaskGroup() as group:
            feeding = spawn(group, _feed(connection, session), name="spdy-feed")
            async with asyncio.timeout(_STREAMS_SECONDS):
                await complete.wait()
            peer = SpdyPeer(group, streams, connection.lost)
            await serve_exec(peer, start)
            peer.stop()
            await connection.close()
            feeding.cancel()
    except* (TimeoutError, SpdyError, ConnectionError):
        connection.abort()


async def serve_spdy_ports(connection: RawConnection, connect: Connect) -> None:
    """Forward ports until the client goes."""
    try:
        async with asyncio.TaskGroup() as group:
            forwarder = Forwarder(group, connect)
            session = Session(connection.write, forwarder.on_stream)
            await _feed(connection, session)
            forwarder.cancel()
    except* (SpdyError, ConnectionError):
        connection.abort()
