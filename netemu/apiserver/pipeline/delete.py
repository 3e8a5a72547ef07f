"""Delete: preconditions, grace, finalizers, propagation; what is left goes when nothing holds it.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/
https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/
"""

from __future__ import annotations

from typing import Any

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import (
    ATTEMPTS,
    Context,
    DeleteOptions,
    conflict,
    precondition_failed,
)
from netemu.apiserver.pipeline.update import is_released
from netemu.apiserver.watcher import Entry
from netemu.errors import ApiError

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_POLICIES = ("", "Background", "Foreground", "Orphan")
NO_OPTIONS = DeleteOptions()


async def delete(
    ctx: Context, kind: Kind, namespace: str, name: str, options: DeleteOptions = NO_OPTIONS
) -> tuple[Object, bool]:
    """(the object as it is now or last was, whether it is gone)."""
    if options.propagation_policy not in _POLICIES:
        message = f'DeleteOptions: invalid propagationPolicy "{options.propagation_policy}"'
        raise ApiError("Invalid", message)
    for _ in range(ATTEMPTS):
        entry = ctx.find(kind, namespace, name)
        _check(kind, entry.object, options)
        done = await _attempt(ctx, kind, entry, options)
        if done is not None:
            return done
    raise conflict(kind, name)


async def _attempt(
    ctx: Context, kind: Kind, entry: Entry, options: DeleteOptions
) -> tuple[Object, bool] | None:
    marked = _marked(ctx, kind, entry.object, options)
    if is_released(ctx, kind, marked):
        if options.dry_run:
            return entry.object, True
        return (entry.object, True) if await ctx.remove(kind, entry) else None
    if marked == entry.object or options.dry_run:
        return marked, False
    return (marked, False) if await ctx.put(kind, marked, entry.revision) else None


def _check(kind: Kind, obj: Object, options: DeleteOptions) -> None:
    metadata = obj["metadata"]
    if options.uid and options.uid != metadata["uid"]:
        raise precondition_failed(kind, metadata["name"], "UID", options.uid, metadata["uid"])
    wanted, found = options.resource_version, metadata["resourceVersion"]
    if wanted and wanted != found:
        raise precondition_failed(kind, metadata["name"], "ResourceVersion", wanted, found)


def _marked(ctx: Context, kind: Kind, obj: Object, options: DeleteOptions) -> Object:
    """A copy of `obj` that says since when, and how gently, it is being deleted."""
    strategy = ctx.strategy(kind)
    new = meta.copy(obj)
    metadata = new["metadata"]
    grace = strategy.grace_seconds(obj, options)
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = meta.timestamp(ctx.clock.now() + grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if kind.has_generation:
            metadata["generation"] = metadata.get("generation", 0) + 1
        _set_finalizers(metadata, options.propagation_policy)
        strategy.begin_deletion(ctx, new)
    elif grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = meta.timestamp(ctx.clock.now() + grace)
        metadata["deletionGracePeriodSeconds"] = grace
    if not metadata.get("finalizers"):
        metadata.pop("finalizers", None)
    return new


def _set_finalizers(metadata: dict[str, Any], policy: str) -> None:
    """The garbage collector's own two finalizers follow the policy; others stay."""
    kept = [f for f in metadata.get("finalizers") or () if f not in (FOREGROUND, ORPHAN)]
    if policy == "Foreground":
        kept.append(FOREGROUND)
    elif policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "":
        kept = list(metadata.get("finalizers") or ())
    metadata["finalizers"] = kept
