"""Create: metadata, defaults, admission, validation, commit.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

import os
from typing import Any

from netemu.api import invalid, meta, names, objectrules
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import ATTEMPTS, PLAIN, ClaimLost, Context, Options
from netemu.apiserver.pipeline.ownership import track
from netemu.apiserver.pipeline.shape import check_shape, complete
from netemu.errors import ApiError, not_found

_GENERATED_ATTEMPTS = 8
_CLAIM_SECONDS = 0.05


async def create(
    ctx: Context, kind: Kind, namespace: str, obj: Object, options: Options = PLAIN
) -> Object:
    """Store `obj`, which is the pipeline's from here on; returns it as it was stored."""
    obj = check_shape(kind, obj, options)
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}
    metadata = obj["metadata"]
    _place(kind, namespace, obj)
    generate = "" if metadata.get("name") else str(metadata.get("generateName") or "")
    for attempt in range(_GENERATED_ATTEMPTS if generate else 1):
        if generate:
            metadata["name"] = names.generate(generate, ctx.random)
        if attempt == 0:
            _check_namespace(ctx, kind, metadata.get("namespace", ""))
            _initialise(ctx, kind, obj)
            track(kind, obj, None, options, ctx.clock.now())
        if await _commit(ctx, kind, obj, options):
            if options.field_validation:
                options.warnings.extend(ctx.strategy(kind).warnings(obj))
            return obj
    raise _exists(kind, metadata["name"])


def _place(kind: Kind, namespace: str, obj: Object) -> None:
    """The path says where it goes; the object may say the same or nothing."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise ApiError("BadRequest", "resourceVersion should not be set on objects to be created")
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.kind)
    if not kind.namespaced:
        metadata.pop("namespace", None)
        return
    stated = metadata.setdefault("namespace", namespace) or namespace
    if namespace and stated != namespace:
        message = "the namespace of the provided object does not match the namespace sent on the"
        raise ApiError("BadRequest", f"{message} request")
    if not stated:
        raise ApiError("BadRequest", f"{kind.kind}: an object of this kind needs a namespace")
    metadata["namespace"] = stated


def _check_namespace(ctx: Context, kind: Kind, namespace: str) -> None:
    if not kind.namespaced:
        return
    namespaces = ctx.registry.find("", "v1", "namespaces")
    if namespaces is None:
        return
    entry = ctx.cache.get(namespaces, "", namespace)
    if entry is None:
        raise not_found("namespaces", namespace)
    if meta.is_deleting(entry.object) and kind.plural != "events":
        message = (
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        details: Object = {"kind": kind.plural, "causes": [cause]}
        raise ApiError("Forbidden", f"{kind.plural} is forbidden: {message}", details=details)


def _initialise(ctx: Context, kind: Kind, obj: Object) -> None:
    """What the server alone says about a new object."""
    metadata = obj["metadata"]
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(field, None)
    metadata["uid"] = new_uid()
    metadata["creationTimestamp"] = meta.timestamp(ctx.clock.now())
    if kind.has_generation:
        metadata["generation"] = 1
    if kind.has_status and not kind.keeps_status:
        for name in kind.status_fields:
            obj.pop(name, None)
    kind.default(obj)


async def _commit(ctx: Context, kind: Kind, obj: Object, options: Options) -> bool:
    """Admit, validate and store; False when the name is taken."""
    if not ctx.strategy(kind).shares:
        return await _try_commit(ctx, kind, obj, options)
    asked = meta.copy(obj)
    for _ in range(ATTEMPTS):
        try:
            return await _try_commit(ctx, kind, obj, options)
        except ClaimLost:  # choose again, when the other server's object is there
            await ctx.clock.sleep(_CLAIM_SECONDS)
            obj.clear()
            obj.update(meta.copy(asked))
    raise ApiError("ServerTimeout", "other servers give away the same numbers: try again")


async def _try_commit(ctx: Context, kind: Kind, obj: Object, options: Options) -> bool:
    strategy = ctx.strategy(kind)
    metadata = obj["metadata"]
    if ctx.cache.get(kind, metadata.get("namespace", ""), metadata.get("name", "")) is not None:
        return False
    try:
        complete(kind, obj)
        strategy.admit_create(ctx, obj)
        kind.prepare(obj, None)
        validate(kind, obj, None)
        await ctx.charge(ctx, kind, obj, dry_run=options.dry_run)
        if options.dry_run:
            return True
        return await ctx.put_claimed(kind, obj, None, 0)
    finally:
        strategy.release(ctx, obj)


def validate(kind: Kind, obj: Object, old: Object | None, subresource: str = "") -> None:
    """ApiError Invalid with all causes, of the metadata and of the kind's own rules."""
    causes = objectrules.validate(kind, obj, old, subresource=subresource)
    if causes:
        raise invalid.error(kind.kind, kind.group, str(obj["metadata"].get("name", "")), causes)


_random = bytearray()


def new_uid() -> str:
    """A random UUID, like uuid.uuid4() in a fifth of its time.

    Randomness comes in stocks: each getrandom(2) gives the interpreter's lock away, and getting it
    back can take milliseconds while other threads are busy.
    """
    if not _random:
        _random.extend(os.urandom(16 * 256))
    raw: Any = _random[-16:]
    del _random[-16:]
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _exists(kind: Kind, name: str) -> ApiError:
    full = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    details: Object = {"name": name, "kind": kind.plural}
    if kind.group:
        details["group"] = kind.group
    return ApiError("AlreadyExists", f'{full} "{name}" already exists', details=details)
