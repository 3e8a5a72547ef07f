"""Port-forward: a connection into a pod's network namespace for each that the client makes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from netemu.aio import spawn
from netemu.apiserver.streams.spdy import Stream
from netemu.client.kubelet import PortSession
from netemu.errors import NetemuError

log = logging.getLogger(__name__)

Connect = Callable[[int], Awaitable[PortSession]]
Read = Callable[[], Awaitable[bytes]]
Send = Callable[[bytes], Awaitable[None]]


async def pump(port: int, connect: Connect, read: Read, send: Send, fail: Send) -> None:
    """Carry bytes both ways until both are done; `fail` gets why there is no connection."""
    try:
        session = await connect(port)
    except (NetemuError, OSError) as error:
        await fail(f"error forwarding port {port}: {error}".encode())
        return
    try:
        async with asyncio.TaskGroup() as group:
            upload = spawn(group, _upload(read, session), name="port-upload")
            while data := await session.read():
                await send(data)
            upload.cancel()  # the pod's side has closed: nothing that comes in can arrive
    except* (ConnectionError, OSError) as errors:
        log.debug("port-forward ended", extra={"kv": {"port": port, "error": str(errors)}})
    finally:
        await session.close()


async def _upload(read: Read, session: PortSession) -> None:
    while data := await read():
        await session.write(data)
    await session.end()


class Forwarder:
    """The streams of one SPDY session: an error and a data stream for each connection."""

    def __init__(self, group: asyncio.TaskGroup, connect: Connect) -> None:
        self._group, self._connect = group, connect
        self._errors: dict[str, Stream] = {}
        self._running: set[asyncio.Task[None]] = set()

    def on_stream(self, stream: Stream) -> None:
        request = stream.headers.get("requestid", "")
        if stream.headers.get("streamtype") == "error":
            self._errors[request] = stream
            return
        error = self._errors.pop(request, None)
        port = stream.headers.get("port", "")
        if error is None or not port.isdigit():
            task = spawn(self._group, stream.reset(), name="port-forward-refused")
        else:
            task = spawn(
                self._group, self._forward(int(port), stream, error), name=f"port-forward-{port}"
            )
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _forward(self, port: int, data: Stream, error: Stream) -> None:
        try:
            await pump(port, self._connect, data.read, data.send, error.send)
            await data.finish()
            await error.finish()
        except ConnectionError:
            return  # the client has gone with all its streams

    def cancel(self) -> None:
        for task in tuple(self._running):
            task.cancel()
