"""Upgrades that aiohttp knows nothing of, answered by hand: SPDY/3.1, and whatever is proxied."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from multidict import CIMultiDict, MultiDict
from yarl import URL

from netemu.apiserver.http.call import Call, PlainRequest, refusal
from netemu.apiserver.http.podstreams import plan_exec, plan_ports
from netemu.apiserver.http.proxy.exchange import tokens
from netemu.apiserver.http.proxy.upgrade import serve_proxied
from netemu.apiserver.http.requestinfo import origin_form, parse
from netemu.apiserver.registry import UNKNOWN_PATH
from netemu.apiserver.streams.rawconnection import RawConnection
from netemu.apiserver.streams.spdyconnection import (
    EXEC_PROTOCOLS,
    PORT_PROTOCOL,
    serve_spdy_exec,
    serve_spdy_ports,
)
from netemu.errors import ApiError, NetemuError

if TYPE_CHECKING:
    from netemu.apiserver.server import ApiServer

log = logging.getLogger(__name__)
_EXEC = ("exec", "attach")
_STREAMS = (*_EXEC, "portforward")


def is_ours(head: bytes) -> bool:
    """Whether a request, without its last empty line, asks for an upgrade served here."""
    if b"\r\nupgrade:" not in head.lower():
        return False
    start, headers = _parse(head)
    method, target = start[:2]
    subresource = parse(method, target.partition("?")[0], {}).subresource
    if subresource == "proxy":
        return "upgrade" in tokens(headers, "Connection")
    return subresource in _STREAMS and headers["Upgrade"].lower() == "spdy/3.1"


def _parse(head: bytes) -> tuple[list[str], CIMultiDict[str]]:
    """(method, target and version; headers) of a request's head."""
    first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    start = [*first.split(" "), "", ""]
    start[1] = origin_form(start[1])
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.add(name.strip(), value.strip())
    return start, headers


async def serve_upgrade(server: ApiServer, connection: RawConnection, head: bytes) -> None:
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
        log.exception("upgraded connection failed")
        connection.abort()


def _call(server: ApiServer, connection: RawConnection, head: bytes) -> Call:
    (method, target, *_), headers = _parse(head)
    query: MultiDict[str] = MultiDict(URL(target, encoded=True).query)
    path = target.partition("?")[0]
    transport = connection.transport
    request = PlainRequest(method=method, raw_path=target, headers=headers, transport=transport)
    call = Call(server, request, parse(method, path, query), query)
    server.gate.admit(call)
    return call


async def _serve(call: Call, connection: RawConnection) -> None:
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
        await serve_proxied(call, kind, connection)


async def _accept(call: Call, connection: RawConnection, known: tuple[str, ...]) -> None:
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


async def _refuse(connection: RawConnection, error: ApiError) -> None:
    try:
        await connection.write(refusal(error))
        connection.transport.close()
    except ConnectionError:
        connection.abort()
