"""One request and its answer, carried to a backend and back; neither is ever held whole.

As kube-apiserver's reverse proxy does it: the client's credentials stay here, hop-by-hop headers
end here, links in the answer lead back here.
https://github.com/kubernetes/apimachinery/blob/master/pkg/util/proxy/upgradeaware.go
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote, unquote

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from netemu.aio import spawn
from netemu.api.kind import Kind
from netemu.apiserver.http import body
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.proxy.htmlbody import html_body
from netemu.apiserver.http.proxy.kubeletpages import kubelet_page
from netemu.apiserver.http.proxy.links import Links
from netemu.apiserver.http.proxy.target import Target, find_target
from netemu.client.connection import Connection, Response, read_head
from netemu.errors import ApiError, NetemuError

_DIAL_SECONDS = 30.0
_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)
"""Headers that are about one connection, not about what it carries (RFC 9110, 7.6.1)."""
_OURS = ("authorization", "content-length", "expect")
"""Headers of a request that are not the backend's business, or that are made anew."""
_SAFE = "$&+,/:;=@-_.~"
_TEXT = bytes((9, 10, 12, 13, 27, *range(32, 256)))
"""Bytes that text may have (https://mimesniff.spec.whatwg.org/#binary-data-byte)."""
BROKEN = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)
"""What a backend may do wrong: refuse, hang up, or not speak HTTP."""


async def proxy(call: Call, kind: Kind) -> web.StreamResponse:
    """Answer with what the pod, the Service or the node of the request's path answers."""
    target = find_target(call, kind)
    if not call.info.rest and call.request.method in ("GET", "HEAD"):
        # Relative links of the page must stay below it.
        path, mark, query = call.http.raw_path.partition("?")
        return web.Response(status=301, headers={"Location": f"{path}/{mark}{query}"})
    if call.http.headers.get("Upgrade") and "upgrade" in tokens(call.http.headers, "Connection"):
        raise ApiError("BadRequest", "an upgrade must be the first request of its connection")
    if not target.address:
        return await kubelet_page(call, target)
    async with connected(target) as connection:
        answer = await _exchange(call, target, connection)
    if isinstance(answer, ApiError):
        raise answer
    return answer


def unreachable(target: Target, error: BaseException) -> ApiError:
    why = str(error) or "the connection ended"
    if isinstance(error, TimeoutError):
        why = "i/o timeout"
    elif isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        why = os.strerror(error.errno).lower()
    message = f"error trying to reach service: dial tcp {target.host}: connect: {why}"
    return ApiError("ServiceUnavailable", message)


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Connection]:
    """A connection to a backend; TLS ones are not verified, as upstream does not."""
    context = None
    if target.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            sock = await target.kubelet.dial(target.address, target.port)
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=target.address if context else None
            )
    except (*BROKEN, TimeoutError, NetemuError) as error:
        raise unreachable(target, error) from error
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def _exchange(
    call: Call, target: Target, connection: Connection
) -> web.StreamResponse | ApiError:
    """The answer, or why there is none: a backend may answer before it has read everything."""
    request = call.http
    async with asyncio.TaskGroup() as group:
        connection.writer.write(_request_head(call))
        upload = spawn(group, _upload(request, connection.writer), name="proxy-upload")
        try:
            answer = await read_answer(connection)
        except BROKEN as error:
            upload.cancel()
            return unreachable(target, error)
        response = await _relay(call, target, answer)
        upload.cancel()
    return response


def _request_head(call: Call) -> bytes:
    request = call.http
    framing = {}
    if request.content_length is not None:
        framing = {"Content-Length": str(request.content_length)}
    elif request.body_exists:
        framing = {"Transfer-Encoding": "chunked"}
    return request_head(call, {**framing, "Connection": "close"})


def request_head(call: Call, own: Mapping[str, str]) -> bytes:
    """The request as the backend gets it; `own` are the headers of this connection."""
    headers, transport = call.request.headers, call.request.transport
    path = backend_path(call.info.rest)
    target = path + call.raw_query
    lines = [f"{call.request.method} {target} HTTP/1.1"]
    lines += [
        f"{name}: {value}" for name, value in passing(headers.items(), (*_OURS, *_hop(headers)))
    ]
    lines += [f"{name}: {value}" for name, value in own.items()]
    lines.append(f"X-Forwarded-Uri: {call.raw_path.removesuffix(call.info.rest)}{path}")
    peer = transport.get_extra_info("peername") if transport is not None else None
    if isinstance(peer, tuple):
        before = headers.getall("X-Forwarded-For", [])
        lines.append(f"X-Forwarded-For: {', '.join([*before, peer[0]])}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def backend_path(rest: str) -> str:
    """The path for the backend: cleaned, and encoded anew, as Go does. Clients encode slashes."""
    path = unquote(rest, errors="surrogateescape")
    slash = "/" if path.endswith("/") else ""
    cleaned = posixpath.normpath("/" + path.lstrip("/")).rstrip("/") + slash
    return quote(cleaned or "/", safe=_SAFE, errors="surrogateescape")


def passing(fields: Iterable[tuple[str, str]], stopped: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The headers that go on to the other side: without `stopped` and those made anew."""
    names = {*_HOP, *stopped, "x-forwarded-uri", "x-forwarded-for"}
    for name, value in fields:
        if name.lower() not in names and not name.lower().startswith("impersonate-"):
            yield name, value


Headers = CIMultiDict[str] | CIMultiDictProxy[str]


def tokens(headers: Headers, name: str) -> list[str]:
    """The words of a header that is a list, in lower case."""
    return [word.strip().lower() for value in headers.getall(name, ()) for word in value.split(",")]


def _hop(headers: Headers) -> list[str]:
    """Headers that the client itself says are about its connection."""
    return tokens(headers, "Connection")


async def _upload(request: web.BaseRequest, writer: asyncio.StreamWriter) -> None:
    body.invite(request)
    chunked = request.content_length is None and request.body_exists
    try:
        async for part in request.content.iter_any():
            writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
    except ConnectionError:
        pass  # whether the backend has answered all the same is seen elsewhere


async def read_answer(connection: Connection) -> Response:
    """The head of the final answer: `100 Continue` and the like come before it."""
    while True:
        answer = await read_head(connection)
        if answer.status == 101 or answer.status >= 200:
            int(answer.headers.get("content-length", "0"))  # ValueError if it is none
            return answer


async def _send(call: Call, response: web.StreamResponse, parts: AsyncIterator[bytes]) -> None:
    """The head and the body; a body of no stated type is looked at, as Go's server does."""
    first = b""
    if "Content-Type" not in response.headers:
        first = await anext(parts, b"")
        response.headers["Content-Type"] = sniffed(first)
    await response.prepare(call.http)
    if first:
        await response.write(first)
    async for part in parts:
        await response.write(part)


def sniffed(data: bytes) -> str:
    """The media type that a body seems to have: HTML, text, or anything."""
    start = data[:512]
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "text/html; charset=utf-8"
    binary = start.translate(None, _TEXT)
    return "application/octet-stream" if binary else "text/plain; charset=utf-8"


async def _relay(call: Call, target: Target, answer: Response) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    links = Links(
        prefix=call.raw_path.removesuffix(call.info.rest),
        hosts=frozenset((target.host, call.request.headers.get("Host", ""))),
    )
    for name, value in passing(answer.fields, ("content-length",)):
        if name.lower() == "location":
            value = links.rewrite(value)
        if not name.lower().startswith("access-control-allow-"):
            response.headers.add(name, value)
    page = html_body(answer, links)
    if "content-length" in answer.headers and page is None:
        response.content_length = int(answer.headers["content-length"])
    elif answer.status not in (204, 304):
        response.enable_chunked_encoding()
    parts = page or answer.parts()
    try:
        if call.request.method == "HEAD":
            await response.prepare(call.http)
        else:
            await _send(call, response, parts)
        await response.write_eof()
    except (*BROKEN, zlib.error):
        if call.request.transport is not None:
            call.request.transport.abort()  # half an answer must not look whole
    return response
