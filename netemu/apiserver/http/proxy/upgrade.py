"""An upgrade, such as to a WebSocket, passed through: after a 101 the bytes go both ways as is.

Anything but a 101 ends the connection with that answer: what a client sends after a refused upgrade
must not reach the backend unseen (CVE-2018-1002105).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from netemu.aio import spawn
from netemu.api.kind import Kind
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.proxy.exchange import (
    BROKEN,
    connected,
    passing,
    read_answer,
    request_head,
    unreachable,
)
from netemu.apiserver.http.proxy.target import find_target
from netemu.apiserver.streams.rawconnection import RawConnection
from netemu.client.connection import Connection, Response
from netemu.errors import ApiError


async def serve_proxied(call: Call, kind: Kind, client: RawConnection) -> None:
    """Until either side ends; ApiError while the client can still be told."""
    target = find_target(call, kind)
    if not target.address:
        raise ApiError("BadRequest", "the kubelet cannot be upgraded to another protocol here")
    headers = call.request.headers
    own = {"Connection": "Upgrade", "Upgrade": headers["Upgrade"]}
    if "Content-Length" in headers:
        own["Content-Length"] = headers["Content-Length"]
    async with connected(target) as backend:
        try:
            backend.writer.write(request_head(call, own))
            answer = await read_answer(backend)
        except BROKEN as error:
            raise unreachable(target, error) from error
        if answer.status == 101:
            await client.write(_head(answer, {"Connection": "Upgrade"}))
            await _splice(client, backend)
        else:
            await _refuse(client, answer)


def _head(answer: Response, own: dict[str, str]) -> bytes:
    phrase = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    stopped = () if answer.status == 101 else ("content-length",)
    lines += [f"{name}: {value}" for name, value in passing(answer.fields, stopped)]
    if answer.status == 101 and "upgrade" in answer.headers:
        own["Upgrade"] = answer.headers["upgrade"]
    lines += [f"{name}: {value}" for name, value in own.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


async def _splice(client: RawConnection, backend: Connection) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            spawn(group, _upload(client, backend), name="proxy-upload")
            while data := await backend.reader.read(65536):
                await client.write(data)
            client.transport.close()  # which ends the upload as well
    except* OSError:
        client.abort()


async def _upload(client: RawConnection, backend: Connection) -> None:
    while data := await client.read():
        backend.writer.write(data)
        await backend.writer.drain()
    backend.writer.close()


async def _refuse(client: RawConnection, answer: Response) -> None:
    """The backend's own answer, whose end is the connection's."""
    await client.write(_head(answer, {"Connection": "close"}))
    try:
        async for part in answer.parts():
            await client.write(part)
    except BROKEN:
        client.abort()
    client.transport.close()
