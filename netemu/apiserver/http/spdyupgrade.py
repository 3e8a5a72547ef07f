"""Requests that ask for SPDY/3.1, which aiohttp knows nothing of: answered by hand."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from multidict import CIMultiDict, MultiDict
from yarl import URL

from netemu.apiserver.http.call import Call, Head
from netemu.apiserver.http.podstreams import plan_exec, plan_ports
from netemu.apiserver.http.render import encode
from netemu.apiserver.http.requestinfo import parse
from netemu.apiserver.registry import UNKNOWN_PATH
from netemu.apiserver.streams.spdyconnection import (
    EXEC_PROTOCOLS,
    PORT_PROTOCOL,
    SpdyConnection,
    serve_spdy_exec,
    serve_spdy_ports,
)
from netemu.errors import ApiError, NetemuError

if TYPE_CHECKING:
    from netemu.apiserver.server import ApiServer

log = logging.getLogger(__name__)
_EXEC = ("exec", "attach")


async def serve_upgrade(server: ApiServer, connection: SpdyConnection, head: bytes) -> None:
    """Answer one upgrade request and serve its streams; never raises for what a client does."""
    try:
        call = _call(server, connection, head)
        await _serve(call, connection)
    except ApiError as error:
        await _refuse(connection, error)
    except (NetemuError, ValueError) as error:
        await _refuse(connection, ApiError("BadRequest", f"unable to upgrade: {error}"))
    except ConnectionError:
        connection.abort()
    except Exception:  # a defect of ours must not end the server, which owns this task
        log.exception("SPDY connection failed")
        connection.abort()


def _call(server: ApiServer, connection: SpdyConnection, head: bytes) -> Call:
    start, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = start.split(" ", 2)
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.add(name.strip(), value.strip())
    query: MultiDict[str] = MultiDict(URL(target, encoded=True).query)
    path = target.partition("?")[0]
    request = Head(method=method, headers=headers, transport=connection.transport)
    call = Call(server, request, parse(method, path, query), query)
    server.gate.admit(call)
    return call


async def _serve(call: Call, connection: SpdyConnection) -> None:
    info = call.info
    kind = call.server.registry.find(info.group, info.version, info.plural)
    if kind is None or info.subresource not in kind.subresources:
        raise ApiError("NotFound", UNKNOWN_PATH)
    if info.subresource in _EXEC:
        plan = plan_exec(call, kind)
        await _accept(call, connection, EXEC_PROTOCOLS)
        await serve_spdy_exec(connection, plan.streams, plan.start)
    elif info.subresource == "portforward":
        connect = plan_ports(call, kind)
        await _accept(call, connection, (PORT_PROTOCOL,))
        await serve_spdy_ports(connection, connect)
    else:
        raise ApiError("BadRequest", f"{info.subresource} cannot be upgraded to SPDY")


async def _accept(call: Call, connection: SpdyConnection, known: tuple[str, ...]) -> None:
    asked = [
        protocol.strip()
        for value in call.request.headers.getall("X-Stream-Protocol-Version", [])
        for protocol in value.split(",")
    ]
    chosen = next((protocol for protocol in known if protocol in asked), "")
    if asked and not chosen:
        message = f"unable to upgrade: protocols {asked} are unknown; supported are {list(known)}"
        raise ApiError("Forbidden", message)
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
    if chosen:
        lines.append(f"X-Stream-Protocol-Version: {chosen}")
    await connection.write("\r\n".join(lines).encode() + b"\r\n\r\n")


async def _refuse(connection: SpdyConnection, error: ApiError) -> None:
    body = encode(error.to_status())
    head = (
        f"HTTP/1.1 {error.code} {error.reason}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        await connection.write(head.encode() + body)
        connection.transport.close()
    except ConnectionError:
        connection.abort()
