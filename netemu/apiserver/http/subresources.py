"""Subresources that are not just a part of the object: binding, finalize, eviction, streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from netemu.api.kind import Kind
from netemu.apiserver.http.call import Call, success
from netemu.apiserver.http.deleteoptions import read_options
from netemu.apiserver.http.logs import pod_log
from netemu.apiserver.http.podstreams import exec_pod, forward_ports
from netemu.apiserver.http.proxy.exchange import proxy
from netemu.apiserver.http.tokenrequests import request_token
from netemu.apiserver.pipeline import subresources
from netemu.apiserver.pipeline.evict import evict
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
    binding = await call.document()
    info = call.info
    done = await subresources.bind(
        call.ctx, kind, info.namespace, info.name, binding, call.options()
    )
    return call.json(done, status=201)


async def _finalize(call: Call, kind: Kind) -> web.StreamResponse:
    renderer = call.renderer(kind)
    obj = await call.document()
    done = await subresources.finalize(call.ctx, kind, call.info.name, obj, call.options())
    return call.answer(renderer.one(done))


async def _evict(call: Call, kind: Kind) -> web.StreamResponse:
    eviction = await call.document()
    options = read_options(call, eviction.get("deleteOptions") or {})
    stated = (eviction.get("metadata") or {}).get("name") or call.info.name
    if stated != call.info.name:
        raise ApiError(
            "BadRequest", f"name in URL does not match name in Eviction object: {stated}"
        )
    await evict(call.ctx, kind, call.info.namespace, call.info.name, options)
    return call.json(success() | {"code": 201}, status=201)


_FOUND: dict[tuple[str, str], Verb] = {
    ("binding", "create"): _bind,
    ("finalize", "update"): _finalize,
    ("eviction", "create"): _evict,
    ("token", "create"): request_token,
    ("proxy", "*"): proxy,
    ("log", "get"): pod_log,
    ("exec", "get"): exec_pod,
    ("exec", "create"): exec_pod,
    ("attach", "get"): exec_pod,
    ("attach", "create"): exec_pod,
    ("portforward", "get"): forward_ports,
    ("portforward", "create"): forward_ports,
}
