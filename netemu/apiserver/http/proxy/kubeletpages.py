"""The kubelet itself behind `nodes/NAME/proxy`: its pages, a container's log, a command's output.

https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/server/server.go
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from aiohttp import web

from netemu.api.kind import Object
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.logs import log_options, send_logs
from netemu.apiserver.http.podtarget import containers
from netemu.apiserver.http.proxy.target import Target
from netemu.client.kubelet import ExecSession
from netemu.errors import ApiError

_MOST_OUTPUT = 16 * 1024 * 1024
"""As a container runtime limits the answer to ExecSync."""
_JSON = "application/json"


async def kubelet_page(call: Call, target: Target) -> web.StreamResponse:
    """What the kubelet answers to the path behind `proxy`."""
    path = unquote(call.info.rest)
    first, *place = path.strip("/").split("/")
    if len(place) == 3 and first == "containerLogs":
        _only(call, "GET")
        found = _container(call, *place)
        if isinstance(found, web.Response):
            return found
        namespace, pod, container = place
        options = log_options(call, container)
        return await send_logs(call, target.kubelet, namespace, pod, options)
    if len(place) == 3 and first == "run":
        _only(call, "POST")
        found = _container(call, *place)
        return found if isinstance(found, web.Response) else await _run(call, target, *place)
    _only(call, "GET", "HEAD")
    page = await target.kubelet.page(path, call.query)
    headers = {"Content-Type": page.content_type}
    if page.parts is None:
        return web.Response(status=page.status, headers=headers, body=page.body)
    response = web.StreamResponse(status=page.status, headers=headers)
    response.enable_chunked_encoding()
    await response.prepare(call.http)
    async for part in page.parts:
        await response.write(part)
    await response.write_eof()
    return response


def _only(call: Call, *methods: str) -> None:
    if call.request.method not in methods:
        message = f"the kubelet answers only {' and '.join(methods)} here"
        raise ApiError("MethodNotAllowed", message)


def _container(call: Call, namespace: str, name: str, container: str) -> Object | web.Response:
    """The pod, if it runs here and has that container; otherwise the kubelet's 404."""
    kind = call.ctx.registry.find("", "v1", "pods")
    entry = call.ctx.cache.get(kind, namespace, name) if kind is not None else None
    node = call.info.name.split(":")
    if entry is None or entry.object["spec"].get("nodeName") not in node:
        return _text(404, f'pod "{name}" does not exist')
    if container not in containers(entry.object):
        return _text(404, f'container "{container}" not found in pod "{name}"')
    return entry.object


async def _run(
    call: Call, target: Target, namespace: str, pod: str, container: str
) -> web.Response:
    """All that a command writes, when it has ended. `cmd` is split at spaces, and nothing more."""
    command = call.query.get("cmd", "").split(" ")
    if not command[0]:
        return _text(400, "cmd is needed")
    session = await target.kubelet.exec(namespace, pod, container, command)
    try:
        output = await _output(session)
        code = await session.wait()
    except asyncio.CancelledError:  # the client has gone
        await session.kill()
        raise
    if code:
        text = output.decode(errors="replace")
        return _text(500, f"command '{' '.join(command)}' exited with {code}: {text}")
    return web.Response(body=output, content_type=_JSON)  # as the kubelet says, whatever it is


async def _output(session: ExecSession) -> bytes:
    found = bytearray()
    async for output in session.output():
        found += output.data[: _MOST_OUTPUT - len(found)]
    return bytes(found)


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")
