"""exec, attach and port-forward: from the request to the two ends that are to be joined."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from netemu.api.kind import Kind
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.podtarget import container_of, kubelet_of
from netemu.apiserver.http.requestinfo import is_true
from netemu.apiserver.streams.ports import Connect
from netemu.apiserver.streams.remote import serve_exec
from netemu.apiserver.streams.websocket import (
    EXEC_PROTOCOLS,
    PORT_PROTOCOLS,
    TUNNEL,
    WebSocketPeer,
    accept,
    forward_channels,
    forward_tunnel,
)
from netemu.client.kubelet import ExecSession, PortSession
from netemu.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A command to start, and which streams its client wants."""

    start: Callable[[], Awaitable[ExecSession]]
    streams: frozenset[str]
    """Of `error`, `stdin`, `stdout`, `stderr`, `resize`."""


def plan_exec(call: Call, kind: Kind) -> Exec:
    """What exec or attach asks for; ApiError before anything is upgraded."""
    info, query = call.info, call.query
    kubelet, pod = kubelet_of(call, kind)
    container = container_of(call, pod)
    tty, stdin = is_true(query, "tty"), is_true(query, "stdin")
    streams = {name for name in ("stdin", "stdout", "stderr") if is_true(query, name)}
    if not streams:
        message = "you must specify at least 1 of stdin, stdout, stderr"
        raise ApiError("BadRequest", message)
    if tty:
        streams = (streams - {"stderr"}) | {"resize"}
    command = _all(call, "command")
    if info.subresource == "exec" and not command:
        raise ApiError("Invalid", 'PodExecOptions "" is invalid: command: Required value')

    async def start() -> ExecSession:
        if info.subresource == "attach":
            return await kubelet.attach(info.namespace, info.name, container, stdin=stdin, tty=tty)
        return await kubelet.exec(
            info.namespace, info.name, container, command, stdin=stdin, tty=tty
        )

    return Exec(start=start, streams=frozenset(streams | {"error"}))


def _all(call: Call, key: str) -> list[str]:
    """Every value of a query parameter that may repeat."""
    getall = getattr(call.query, "getall", None)
    if getall is not None:
        return list(getall(key, []))
    return [call.query[key]] if key in call.query else []


def plan_ports(call: Call, kind: Kind) -> Connect:
    """How to connect to a port of the request's pod."""
    kubelet, _ = kubelet_of(call, kind)
    info = call.info

    async def connect(port: int) -> PortSession:
        return await kubelet.connect(info.namespace, info.name, port)

    return connect


def _needs_upgrade(call: Call) -> None:
    if call.request.headers.get("Upgrade", "").lower() != "websocket":
        raise ApiError("BadRequest", "Upgrade request required")


async def exec_pod(call: Call, kind: Kind) -> web.StreamResponse:
    _needs_upgrade(call)
    plan = plan_exec(call, kind)
    _check_protocol(call, EXEC_PROTOCOLS)
    socket = await accept(call.http, EXEC_PROTOCOLS)
    await serve_exec(WebSocketPeer(socket), plan.start)
    return socket


async def forward_ports(call: Call, kind: Kind) -> web.StreamResponse:
    _needs_upgrade(call)
    connect = plan_ports(call, kind)
    ports = _ports(call)
    _check_protocol(call, PORT_PROTOCOLS)
    socket = await accept(call.http, PORT_PROTOCOLS)
    if socket.ws_protocol == TUNNEL:
        await forward_tunnel(socket, connect)
    else:
        await forward_channels(socket, ports, connect)
    return socket


def _check_protocol(call: Call, known: tuple[str, ...]) -> None:
    asked = call.request.headers.get("Sec-WebSocket-Protocol", "")
    offered = [protocol.strip() for protocol in asked.split(",") if protocol.strip()]
    if offered and not set(offered) & set(known):
        message = f"unable to upgrade: none of the protocols {offered} is supported"
        raise ApiError("BadRequest", f"{message}; supported are {list(known)}")


def _ports(call: Call) -> list[int]:
    texts = [part for value in _all(call, "ports") for part in value.split(",") if part]
    if not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise ApiError("BadRequest", f"ports: Invalid value: {texts}: must be 1 to 65535")
    return [int(text) for text in texts]
