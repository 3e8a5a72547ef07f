"""exec, attach and port-forward over WebSocket: channels in the first byte of each message.

Protocols: `v5.channel.k8s.io` (closes single channels), `v4.channel.k8s.io`, and for port-forward
the same channels with a port each, or SPDY frames inside (`SPDY/3.1+portforward.k8s.io`).
RFC 6455, https://github.com/kubernetes/enhancements/issues/4006
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiohttp import WSMsgType, web

from netemu.aio import spawn
from netemu.api.kind import Object
from netemu.apiserver.http.render import encode
from netemu.apiserver.streams.ports import Connect, Forwarder, pump
from netemu.apiserver.streams.remote import (
    CLOSE,
    ERROR,
    RESIZE,
    STDIN,
    Input,
    Resize,
    read_resize,
)
from netemu.apiserver.streams.spdy import Session, SpdyError
from netemu.errors import ApiError

EXEC_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
TUNNEL = "SPDY/3.1+portforward.k8s.io"
PORT_PROTOCOLS = (TUNNEL, "v4.channel.k8s.io", "portforward.k8s.io")
_MOST_MESSAGE = 4 << 20


async def accept(request: web.BaseRequest, protocols: tuple[str, ...]) -> web.WebSocketResponse:
    """Upgrade the connection; the first protocol of the client's that is known is taken.

    ApiError BadRequest when the request's headers do not make a WebSocket.
    """
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=_MOST_MESSAGE)
    try:
        await socket.prepare(request)
    except web.HTTPException as error:
        raise ApiError("BadRequest", f"unable to upgrade: {error.text}") from error
    return socket


class WebSocketPeer:
    """The client of an exec; `remote.Peer`."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def incoming(self) -> AsyncIterator[Input | Resize]:
        async for message in self._socket:
            data = _bytes(message.data) if message.type in _DATA else b""
            if not data:
                continue
            if data[0] == STDIN and len(data) > 1:
                yield Input(data[1:])
            elif data[0] == RESIZE:
                resize = read_resize(data[1:])
                if resize is not None:
                    yield resize
            elif data[0] == CLOSE and data[1:] == bytes((STDIN,)):
                yield Input(b"")

    async def send(self, channel: int, data: bytes) -> None:
        await self._socket.send_bytes(bytes((channel,)) + data)

    async def finish(self, status: Object) -> None:
        if not self._socket.closed:
            await self._socket.send_bytes(bytes((ERROR,)) + encode(status))
            await self._socket.close()


_DATA = (WSMsgType.BINARY, WSMsgType.TEXT)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


async def forward_channels(
    socket: web.WebSocketResponse, ports: list[int], connect: Connect
) -> None:
    """Two channels a port, data and error; each starts with the port's two bytes."""
    queues: list[asyncio.Queue[bytes]] = [asyncio.Queue(maxsize=16) for _ in ports]

    def sender(channel: int) -> _Channel:
        return _Channel(socket, channel)

    async def read(queue: asyncio.Queue[bytes]) -> bytes:
        return await queue.get()

    try:
        async with asyncio.TaskGroup() as group:
            pumps = []
            for index, port in enumerate(ports):
                for channel in (2 * index, 2 * index + 1):
                    await sender(channel).send(port.to_bytes(2, "little"))
                queue = queues[index]
                carried = pump(
                    port,
                    connect,
                    lambda queue=queue: read(queue),  # type: ignore[misc]
                    sender(2 * index).send,
                    sender(2 * index + 1).send,
                )
                pumps.append(spawn(group, carried, name=f"port-forward-{port}"))
            spawn(group, _close_after(pumps, socket), name="port-forward-end")
            async for message in socket:
                data = _bytes(message.data) if message.type in _DATA else b""
                if data and data[0] % 2 == 0 and data[0] // 2 < len(queues) and len(data) > 1:
                    await queues[data[0] // 2].put(data[1:])
            for queue in queues:
                await queue.put(b"")
    except* ConnectionError:
        pass


async def _close_after(pumps: Sequence[asyncio.Task[None]], socket: web.WebSocketResponse) -> None:
    """Channels have no end of their own: when no port has more to say, the socket closes."""
    await asyncio.wait(pumps)
    await socket.close()


class _Channel:
    def __init__(self, socket: web.WebSocketResponse, number: int) -> None:
        self._socket, self._number = socket, number

    async def send(self, data: bytes) -> None:
        if not self._socket.closed:
            await self._socket.send_bytes(bytes((self._number,)) + data)


async def forward_tunnel(socket: web.WebSocketResponse, connect: Connect) -> None:
    """SPDY inside WebSocket messages, as kubectl has done since 1.31."""
    try:
        async with asyncio.TaskGroup() as group:
            forwarder = Forwarder(group, connect)
            session = Session(socket.send_bytes, forwarder.on_stream)
            async for message in socket:
                if message.type == WSMsgType.BINARY:
                    await session.feed(message.data)
            session.end()
            forwarder.cancel()
    except* (ConnectionError, SpdyError):
        await socket.close()
