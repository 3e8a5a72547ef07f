"""Subresources that are not just a part of the object: binding, finalize, eviction, streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from netemu.api.kind import Kind
from netemu.apiserver.http import body
from netemu.apiserver.http.call import Call
from netemu.apiserver.http.logs import pod_log
from netemu.apiserver.http.podstreams import exec_pod, forward_ports
from netemu.apiserver.pipeline import subresources
from netemu.apiserver.registry import UNKNOWN_PATH
from netemu.errors import ApiError

Verb = Callable[[Call, Kind], Awaitable[web.StreamResponse]]


def find(call: Call, kind: Kind) -> Verb:
    """The function for this subresource and verb; ApiError when there is none."""
    info = call.info
    if info.subresource not in kind.subresources:
        raise ApiError("NotFound", UNKNOWN_PATH)
    verbs = {verb for name, verb in _FOUND if name == info.subresource}
    found = _FOUND.get((info.subresource, info.verb)) or _FOUND.get((info.subresource, "*"))
    if found is None:
        if verbs:
            message = "the server does not allow this method on the requested resource"
            raise ApiError("MethodNotAllowed", message)
        raise ApiError("NotFound", UNKNOWN_PATH)
    return found


async def _bind(call: Call, kind: Kind) -> web.StreamResponse:
    binding = body.decode_object(await body.read(call.http), body.media_type(call.http))
    info = call.info
    done = await subresources.bind(
        call.ctx, kind, info.namespace, info.name, binding, call.options()
    )
    return call.json(done, status=201)


async def _finalize(call: Call, kind: Kind) -> web.StreamResponse:
    renderer = call.renderer(kind)
    obj = body.decode_object(await body.read(call.http), body.media_type(call.http))
    done = await subresources.finalize(call.ctx, kind, call.info.name, obj, call.options())
    return call.answer(renderer.one(done))


_FOUND: dict[tuple[str, str], Verb] = {
    ("binding", "create"): _bind,
    ("finalize", "update"): _finalize,
    ("log", "get"): pod_log,
    ("exec", "get"): exec_pod,
    ("exec", "create"): exec_pod,
    ("attach", "get"): exec_pod,
    ("attach", "create"): exec_pod,
    ("portforward", "get"): forward_ports,
    ("portforward", "create"): forward_ports,
}
