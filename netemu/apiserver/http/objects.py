"""get, create, update, patch, delete and deletecollection over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from aiohttp import web

from netemu.api import meta, versions
from netemu.api.kind import Kind, Object
from netemu.apiserver.auth.escalation import RBAC
from netemu.apiserver.auth.gate import attributes_of
from netemu.apiserver.http import body
from netemu.apiserver.http.call import Call, success
from netemu.apiserver.http.deleteoptions import delete_options
from netemu.apiserver.http.duplicates import duplicates
from netemu.apiserver.http.lists import chosen
from netemu.apiserver.http.render import Renderer
from netemu.apiserver.pipeline.apply import apply_object
from netemu.apiserver.pipeline.create import create
from netemu.apiserver.pipeline.delete import delete
from netemu.apiserver.pipeline.patch import SUPPORTED, patch_object, patched, unsupported
from netemu.apiserver.pipeline.subresources import scale_of, update_scale
from netemu.apiserver.pipeline.update import update
from netemu.client.protocol import APPLY_PATCH
from netemu.errors import ApiError

_AT_ONCE = 100
_CREATED_BY_UPDATE = frozenset(
    (
        *(("", plural) for plural in ("services", "endpoints", "events", "limitranges")),
        *((RBAC, kind) for kind in ("roles", "rolebindings")),
        *((RBAC, kind) for kind in ("clusterroles", "clusterrolebindings")),
        ("coordination.k8s.io", "leases"),
        ("events.k8s.io", "events"),
    )
)
"""The kinds whose strategy upstream says AllowCreateOnUpdate."""


async def get_object(call: Call, kind: Kind) -> web.StreamResponse:
    info = call.info
    renderer = call.renderer(kind)
    revision = call.number("resourceVersion") or 0
    await call.ctx.cache.reach(revision)
    entry = call.ctx.find(kind, info.namespace, info.name)
    if info.subresource == "scale":
        return call.json(scale_of(kind, entry.object))
    return call.answer(renderer.entry(entry))


async def create_object(call: Call, kind: Kind) -> web.StreamResponse:
    renderer = call.renderer(kind)
    obj = await read_object(call, kind)
    if kind.namespaced and not call.info.namespace:
        raise ApiError("BadRequest", "a namespace is needed in the path of this request")
    call.server.gate.check_grant(call.user, kind, obj)
    done = await create(call.ctx, kind, call.info.namespace, obj, call.options())
    return call.answer(_written(call, renderer, done), status=201)


async def update_object(call: Call, kind: Kind) -> web.StreamResponse:
    info = call.info
    renderer = call.renderer(kind)
    if info.subresource == "scale":
        scale = await call.document()
        done = await update_scale(call.ctx, kind, info.namespace, info.name, scale, call.options())
        return call.json(done)
    obj = await read_object(call, kind)
    _check_names(call, kind, obj)
    call.server.gate.check_grant(call.user, kind, obj)
    if _creates(call, kind, obj):
        done = await create(call.ctx, kind, info.namespace, obj, call.options())
        return call.answer(_written(call, renderer, done), status=201)
    done = await update(
        call.ctx, kind, info.namespace, obj, call.options(), subresource=info.subresource
    )
    return call.answer(_written(call, renderer, done))


def _written(call: Call, renderer: Renderer, obj: Object) -> bytes:
    """What a write left, as its answer; encoded for those who read it next, too."""
    entry = call.ctx.cache.get(renderer.kind, meta.namespace(obj), meta.name(obj))
    if entry is not None and entry.object is obj:
        return renderer.entry(entry)
    return renderer.one(obj)


def _creates(call: Call, kind: Kind, obj: Object) -> bool:
    """Whether a PUT makes a new object: for some kinds only, and for who may create them."""
    info, metadata = call.info, obj["metadata"]
    if (kind.group, kind.plural) not in _CREATED_BY_UPDATE or info.subresource:
        return False
    if metadata.get("resourceVersion") or metadata.get("uid"):
        return False  # he means one that was there
    if call.ctx.cache.get(kind, info.namespace, info.name) is not None:
        return False
    call.server.gate.check(call.user, attributes_of(replace(info, verb="create", name="")))
    return True


def _check_names(call: Call, kind: Kind, obj: Object) -> None:
    """The object may leave out where it is, but not say something else."""
    metadata = obj["metadata"]
    name = metadata.setdefault("name", call.info.name)
    if name != call.info.name:
        message = f"the name of the object ({name}) does not match the name on the URL"
        raise ApiError("BadRequest", f"{message} ({call.info.name})")
    if kind.namespaced:
        space = metadata.setdefault("namespace", call.info.namespace)
        if space != call.info.namespace:
            message = f"the namespace of the object ({space}) does not match the namespace on the"
            raise ApiError("BadRequest", f"{message} URL ({call.info.namespace})")


async def read_object(call: Call, kind: Kind) -> Object:
    """The body as an object of `kind`; fieldValidation as the query says."""
    media = call.media_type
    data = await call.body()
    obj = body.decode_object(data, media)
    call.duplicates = duplicates(data, media, obj)
    return check_kind(call, kind, obj)


def check_kind(call: Call, kind: Kind, obj: Object) -> Object:
    """The body in the stored version; it may leave out its kind and version, not say others."""
    stated, version = obj.get("kind") or kind.kind, obj.get("apiVersion") or call.info.api_version
    if version != call.info.api_version:
        message = f"the API version in the data ({version}) does not match the expected API version"
        raise ApiError("BadRequest", f"{message} ({call.info.api_version})")
    if stated != kind.kind:
        message = f'{stated} in version "{kind.version}" cannot be handled as a {kind.kind}'
        raise ApiError("BadRequest", f"{message}: converting ({stated}) to ({kind.kind})")
    if not isinstance(obj.get("metadata", {}), dict):
        raise ApiError("BadRequest", "metadata must be an object")
    obj["kind"], obj["apiVersion"] = kind.kind, version
    obj.setdefault("metadata", {})
    return versions.to_stored(kind, obj)


async def patch_one(call: Call, kind: Kind) -> web.StreamResponse:
    info = call.info
    renderer = call.renderer(kind)
    media = call.media_type
    if media not in SUPPORTED:
        raise unsupported(media)
    data = await call.body()
    patch: Any = body.decode(data, media)
    call.duplicates = duplicates(data, media, patch)
    if info.subresource == "scale":
        done = await update_scale(
            call.ctx, kind, info.namespace, info.name, patch, call.options(), content_type=media
        )
        return call.json(done)
    _check_patched_grant(call, kind, patch, media)
    if media == APPLY_PATCH:
        return await _apply(call, kind, patch)
    done = await patch_object(
        call.ctx,
        kind,
        info.namespace,
        info.name,
        patch,
        media,
        call.options(),
        subresource=info.subresource,
    )
    return call.answer(_written(call, renderer, done))


def _check_patched_grant(call: Call, kind: Kind, patch: Any, media: str) -> None:
    if kind.group != RBAC or call.user.is_master:
        return
    entry = call.ctx.cache.get(kind, call.info.namespace, call.info.name)
    if media == APPLY_PATCH:
        shown = patch if isinstance(patch, dict) else {}
    elif entry is not None:
        shown = patched(kind, entry.object, patch, media)
    else:
        return
    call.server.gate.check_grant(call.user, kind, shown)


async def _apply(call: Call, kind: Kind, config: Any) -> web.StreamResponse:
    if not call.query.get("fieldManager"):
        message = "fieldManager: Required value: is required for apply patch"
        raise ApiError("Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {message}')
    renderer, info = call.renderer(kind), call.info
    done, created = await apply_object(
        call.ctx,
        kind,
        info.namespace,
        info.name,
        config,
        call.options(),
        subresource=info.subresource,
    )
    return call.answer(_written(call, renderer, done), status=201 if created else 200)


async def delete_one(call: Call, kind: Kind) -> web.StreamResponse:
    renderer = call.renderer(kind)
    options = await delete_options(call)
    last, gone = await delete(call.ctx, kind, call.info.namespace, call.info.name, options)
    if not gone or call.ctx.strategy(kind).returns_deleted:
        return call.answer(renderer.one(last))
    details = {"name": meta.name(last), "kind": kind.plural, "uid": meta.uid(last)}
    if kind.group:
        details["group"] = kind.group
    return call.json(success(**details))


async def delete_collection(call: Call, kind: Kind) -> web.StreamResponse:
    """Delete all that labels and fields select; those that change meanwhile too."""
    renderer = call.renderer(kind)
    options = await delete_options(call)
    selection = chosen(call, kind)
    entries = [
        entry
        for entry in call.ctx.cache.of(kind).entries(selection.namespace)
        if selection.matches(entry.object)
    ]

    async def delete_entry(obj: Object) -> None:
        try:
            await delete(call.ctx, kind, meta.namespace(obj), meta.name(obj), options)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    for start in range(0, len(entries), _AT_ONCE):  # together, so that they share commits
        part = entries[start : start + _AT_ONCE]
        await asyncio.gather(*(delete_entry(entry.object) for entry in part))
    return call.answer(renderer.list(entries, {"resourceVersion": str(call.ctx.cache.revision)}))
