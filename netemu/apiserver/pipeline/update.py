"""Update: what may change, what is kept, optimistic concurrency, and no write for no change.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

from collections.abc import Callable

from netemu.api import meta
from netemu.api.invalid import error as invalid_error
from netemu.api.invalid import forbidden
from netemu.api.kind import Cause, Kind, Object
from netemu.api.podspec.rules import check_pod_spec
from netemu.apiserver.pipeline.context import (
    ATTEMPTS,
    PLAIN,
    ClaimLost,
    Context,
    Options,
    conflict,
    precondition_failed,
)
from netemu.apiserver.pipeline.create import validate
from netemu.apiserver.pipeline.ownership import track
from netemu.apiserver.pipeline.shape import Refusal, check_shape, complete, undecodable
from netemu.apiserver.watcher import Entry
from netemu.errors import ApiError

Change = Callable[[Object], Object]
"""Makes the new object, the pipeline's own, from the present one, which it must not change."""

_KEPT = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


async def update(
    ctx: Context,
    kind: Kind,
    namespace: str,
    obj: Object,
    options: Options = PLAIN,
    *,
    subresource: str = "",
) -> Object:
    """Replace the present object by `obj`, which is the pipeline's from here on."""
    name = obj["metadata"]["name"]
    if not obj["metadata"].get("resourceVersion") and not kind.unconditional_update:
        message = "Invalid value: 0x0: must be specified for an update"  # Go's way to write a zero
        cause = Cause("metadata.resourceVersion", "FieldValueInvalid", message)
        raise invalid_error(kind.kind, kind.group, name, [cause])
    wire = obj if obj["metadata"].get("resourceVersion") else None

    def change(old: Object) -> Object:
        return wire if wire is not None else meta.copy(obj)

    return await modify(ctx, kind, namespace, name, change, options, subresource=subresource)


async def modify(
    ctx: Context,
    kind: Kind,
    namespace: str,
    name: str,
    change: Change,
    options: Options = PLAIN,
    *,
    subresource: str = "",
    refused: Refusal = undecodable,
) -> Object:
    """Read, change and write back; again after a lost race, if `change` sets no revision.

    Raises `refused` for a changed object that is not one of `kind`.
    """
    for _ in range(ATTEMPTS):
        entry = ctx.find(kind, namespace, name)
        new = check_shape(kind, change(entry.object), options, refused)
        conditional = bool(new["metadata"].get("resourceVersion"))
        done = await _replace(ctx, kind, entry, new, options, subresource)
        if done is not None:
            return done
        if conditional:
            break
    raise conflict(kind, name)


async def _replace(
    ctx: Context, kind: Kind, entry: Entry, new: Object, options: Options, subresource: str
) -> Object | None:
    """The object as stored, or None when somebody was faster."""
    old = entry.object
    _check_preconditions(kind, new, old)
    _keep(kind, new, old, subresource)
    strategy = ctx.strategy(kind)
    try:
        if not subresource:
            complete(kind, new)
            kind.default(new)
        track(kind, new, old, options, ctx.clock.now(), subresource)
        if not subresource:
            kind.prepare(new, old)
            strategy.admit_update(ctx, new, old)
        if subresource in ("", "status"):
            validate(kind, new, old, subresource)
        elif subresource in PARTS_OF_SPEC:
            _check_part(kind, new, old)
        if kind.has_generation and subresource != "status" and _spec_changed(kind, new, old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        done = await _write(ctx, kind, entry, new, options)
        if done is not None and options.field_validation:
            if not subresource:
                options.warnings.extend(strategy.warnings(done))
            elif subresource == "resize":
                options.warnings.append(NOT_RESIZED)
        return done
    finally:
        strategy.release(ctx, new)


NOT_RESIZED = "resize: has no effect in netemu until a container starts again"
"""Said to whoever resizes a pod."""


async def _write(
    ctx: Context, kind: Kind, entry: Entry, new: Object, options: Options
) -> Object | None:
    old = entry.object
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    if new == old or options.dry_run:
        return new if options.dry_run else old
    if is_released(ctx, kind, new):
        removed = await ctx.remove(kind, Entry(new, entry.revision, entry.create_rev))
        return new if removed else None
    try:
        return new if await ctx.put_claimed(kind, new, old, entry.revision) else None
    except ClaimLost:
        return None


def is_released(ctx: Context, kind: Kind, obj: Object) -> bool:
    """Whether an object that is being deleted has nothing left that keeps it."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds") and not ctx.strategy(kind).holds(obj)


def _check_preconditions(kind: Kind, new: Object, old: Object) -> None:
    wanted, present = new["metadata"], old["metadata"]
    uid = wanted.get("uid")
    if uid and uid != present["uid"]:
        raise precondition_failed(kind, present["name"], "UID", uid, present["uid"])
    revision = wanted.get("resourceVersion")
    if revision and revision != present["resourceVersion"]:
        if not str(revision).isdigit():
            raise ApiError("BadRequest", f'invalid resource version: "{revision}"')
        raise conflict(kind, present["name"])


def _keep(kind: Kind, new: Object, old: Object, subresource: str) -> None:
    """Put back what this request may not change."""
    metadata, present = new["metadata"], old["metadata"]
    for field in _KEPT:
        if field in present:
            metadata[field] = present[field]
        else:
            metadata.pop(field, None)
    metadata["uid"] = present["uid"]
    metadata.setdefault("name", present["name"])
    if kind.namespaced:
        metadata.setdefault("namespace", present["namespace"])
    else:
        metadata.pop("namespace", None)
    metadata.pop("selfLink", None)
    new["apiVersion"], new["kind"] = old["apiVersion"], old["kind"]
    if "managedFields" not in metadata and "managedFields" in present:
        metadata["managedFields"] = present["managedFields"]
    if subresource == "status":
        _keep_all_but_status(kind, new, old)
    elif subresource in PARTS_OF_SPEC:
        new["spec"] = PARTS_OF_SPEC[subresource](new.get("spec") or {}, old.get("spec") or {})
        _restore(new, old, kind.status_fields)
    elif kind.has_status and not subresource:
        _restore(new, old, kind.status_fields)


def _with_ephemeral_containers(new: Object, old: Object) -> Object:
    """Debug containers may be added to a running pod, and stay."""
    there = old.get("ephemeralContainers") or []
    wanted = new.get("ephemeralContainers") or []
    named = [container.get("name") for container in wanted]
    if any(container["name"] not in named for container in there):
        message = "spec.ephemeralContainers: Forbidden: existing ephemeral containers may not be"
        raise ApiError("Invalid", f"{message} removed")
    return {**old, "ephemeralContainers": wanted} if wanted else old


def _check_part(kind: Kind, new: Object, old: Object) -> None:
    """The pod must be valid with its new part; debug containers stay as they were added."""
    kind.default(new)
    causes = check_pod_spec(new["spec"])
    now = {c.get("name"): c for c in new["spec"].get("ephemeralContainers") or ()}
    for container in old["spec"].get("ephemeralContainers") or ():
        if now.get(container["name"]) != container:
            message = "existing ephemeral containers may not be changed"
            causes.append(forbidden("spec.ephemeralContainers", message))
    if causes:
        raise invalid_error(kind.kind, kind.group, meta.name(new), causes)


def _with_resources(new: Object, old: Object) -> Object:
    """A pod's resize: requests and limits of its containers, and nothing else."""
    wanted = {c.get("name"): c.get("resources") for c in new.get("containers") or ()}
    containers = [
        {**container, "resources": wanted.get(container["name"]) or container.get("resources", {})}
        for container in old.get("containers") or ()
    ]
    return {**old, "containers": containers}


PARTS_OF_SPEC: dict[str, Callable[[Object, Object], Object]] = {
    "ephemeralcontainers": _with_ephemeral_containers,
    "resize": _with_resources,
}
"""Subresources of pods that may change one part of the spec: from the new and the old spec."""


def _keep_all_but_status(kind: Kind, new: Object, old: Object) -> None:
    rest = set(new) | set(old)
    rest -= kind.status_fields | {"metadata", "apiVersion", "kind"}
    _restore(new, old, rest)
    owners = old["metadata"].get("ownerReferences")
    if owners is not None:
        new["metadata"]["ownerReferences"] = owners
    else:
        new["metadata"].pop("ownerReferences", None)


def _restore(new: Object, old: Object, fields: frozenset[str] | set[str]) -> None:
    for field in fields:
        if field in old:
            new[field] = old[field]
        else:
            new.pop(field, None)


def _spec_changed(kind: Kind, new: Object, old: Object) -> bool:
    ignored = kind.status_fields | {"metadata"} if kind.has_status else {"metadata"}
    return any(
        new.get(field) != old.get(field) for field in (set(new) | set(old)) if field not in ignored
    )
