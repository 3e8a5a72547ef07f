"""The `proxy` subresource: HTTP through the API server to a pod or to a Service's endpoint.

Names are `[scheme:]name[:port]`. The connection goes through the kubelet of the pod's node.
https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.http.call import Call
from netemu.client.connection import Connection, Response, read_head
from netemu.client.kubelet import PortSession
from netemu.errors import ApiError, NetemuError

_HOP = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers of one connection, and those that are not the backend's business."""


async def proxy(call: Call, kind: Kind) -> web.StreamResponse:
    info = call.info
    if not info.rest and call.request.method in ("GET", "HEAD"):
        # Relative links of the page must stay below it.
        query = call.http.query_string
        where = call.http.raw_path.partition("?")[0] + "/" + (f"?{query}" if query else "")
        return web.Response(status=301, headers={"Location": where})
    scheme, name, port = _split(info.name)
    pod, number, tls = _target(call, kind, scheme, name, port)
    try:
        async with _connection(call, pod, number, tls) as connection:
            return await _exchange(call, connection)
    except* (OSError, EOFError, NetemuError) as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        message = f"error trying to reach service: {first}"
        raise ApiError("ServiceUnavailable", message) from first


def _split(name: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `[scheme:]name[:port]`."""
    parts = name.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return parts[0], parts[1], parts[2]
    raise ApiError("BadRequest", f'invalid service request "{name}"')


def _target(call: Call, kind: Kind, scheme: str, name: str, port: str) -> tuple[Object, int, bool]:
    """The pod, its port, and whether to speak TLS."""
    namespace = call.info.namespace
    found = call.ctx.find(kind, namespace, name).object
    if kind.plural == "pods":
        return found, _pod_port(found, port), scheme == "https"
    if kind.plural != "services":
        raise ApiError("ServiceUnavailable", f"{kind.plural} cannot be reached through the proxy")
    wanted = _service_port(found, port)
    pods = call.ctx.registry.find("", "v1", "pods")
    slices = call.ctx.registry.find("discovery.k8s.io", "v1", "endpointslices")
    assert pods is not None and slices is not None
    choices = []
    for entry in call.ctx.cache.of(slices).entries(namespace):
        if meta.labels(entry.object).get("kubernetes.io/service-name") != name:
            continue
        number = next(
            (p["port"] for p in entry.object.get("ports") or () if (p.get("name") or "") == wanted),
            None,
        )
        for endpoint in entry.object.get("endpoints") or ():
            target = endpoint.get("targetRef") or {}
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if number and ready and target.get("kind") == "Pod":
                choices.append((target["name"], number))
    if not choices:
        message = f'no endpoints available for service "{call.info.name}"'
        raise ApiError("ServiceUnavailable", message)
    chosen, number = random.choice(choices)
    return call.ctx.find(pods, namespace, chosen).object, number, scheme == "https"


def _pod_port(pod: Object, port: str) -> int:
    if port.isdigit():
        return int(port)
    for container in (pod.get("spec") or {}).get("containers") or ():
        for declared in container.get("ports") or ():
            if not port or declared.get("name") == port:
                return int(declared["containerPort"])
    if port:
        raise ApiError("BadRequest", f'pod {meta.name(pod)} has no port named "{port}"')
    return 80


def _service_port(service: Object, port: str) -> str:
    """The name of the Service's port that `port`, a name or a number, means."""
    ports = (service.get("spec") or {}).get("ports") or []
    for declared in ports:
        same = declared.get("name") == port or str(declared.get("port")) == port
        if same or (not port and len(ports) == 1):
            return declared.get("name") or ""
    message = f'no service port "{port}" found for service "{meta.name(service)}"'
    raise ApiError("ServiceUnavailable", message)


@asynccontextmanager
async def _connection(call: Call, pod: Object, port: int, tls: bool) -> AsyncIterator[Connection]:
    """Streams to a port of a pod; TLS backends are not verified, as upstream does not."""
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        raise ApiError("BadRequest", f"pod {meta.name(pod)} does not have a host assigned")
    kubelet = call.server.kubelets(node)
    session = await kubelet.connect(meta.namespace(pod), meta.name(pod), port)
    ours, theirs = socket.socketpair()
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.TaskGroup() as group:
            pumping = spawn(group, _pump(theirs, session), name="proxy-pump")
            reader, writer = await asyncio.open_connection(
                sock=ours, ssl=context, server_hostname=meta.name(pod) if tls else None
            )
            yield Connection(reader, writer)
            writer.close()
            pumping.cancel()
    finally:
        await session.close()


async def _pump(end: socket.socket, session: PortSession) -> None:
    reader, writer = await asyncio.open_connection(sock=end)
    try:
        async with asyncio.TaskGroup() as group:
            spawn(group, _upload(reader, session), name="proxy-upload")
            while data := await session.read():
                writer.write(data)
                await writer.drain()
            writer.write_eof()
    except* (OSError, EOFError):
        pass  # the exchange on the other end of the pair sees it
    finally:
        writer.close()


async def _upload(reader: asyncio.StreamReader, session: PortSession) -> None:
    while data := await reader.read(65536):
        await session.write(data)
    await session.end()


async def _exchange(call: Call, connection: Connection) -> web.StreamResponse:
    request = call.http
    query = request.query_string
    target = (call.info.rest or "/") + (f"?{query}" if query else "")
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {_split(call.info.name)[1]}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if _passes(name)]
    chunked = request.content_length is None and request.body_exists
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif request.content_length is not None:
        lines.append(f"Content-Length: {request.content_length}")
    lines.append("Connection: close")
    connection.writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
    async for part in request.content.iter_any():
        head, tail = (f"{len(part):x}\r\n".encode(), b"\r\n") if chunked else (b"", b"")
        connection.writer.write(head + part + tail)
        await connection.writer.drain()
    if chunked:
        connection.writer.write(b"0\r\n\r\n")
    return await _relay(call, await read_head(connection))


def _passes(name: str) -> bool:
    return name.lower() not in _HOP


async def _relay(call: Call, answer: Response) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    for name, value in answer.fields:
        if _passes(name):
            response.headers.add(name, value)
    if "content-length" in answer.headers:
        response.content_length = int(answer.headers["content-length"])
    elif answer.status not in (204, 304):
        response.enable_chunked_encoding()
    await response.prepare(call.http)
    if call.request.method != "HEAD":
        async for part in answer.parts():
            await response.write(part)
    await response.write_eof()
    return response
