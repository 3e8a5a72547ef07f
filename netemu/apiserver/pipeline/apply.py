"""Server-side apply: create the object or merge the configuration into it.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netemu.api import managedfields, meta, versions
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import ATTEMPTS, Context, Options, conflict
from netemu.apiserver.pipeline.create import create
from netemu.apiserver.pipeline.patch import without_revision
from netemu.apiserver.pipeline.update import modify
from netemu.errors import ApiError, not_found


async def apply_object(
    ctx: Context,
    kind: Kind,
    namespace: str,
    name: str,
    config: Any,
    options: Options,
    *,
    subresource: str = "",
) -> tuple[Object, bool]:
    """(the object, whether it is new). ApiError Conflict when others own what `config` changes."""
    config = _checked(kind, namespace, name, config)
    applied = replace(options, applied=True)

    def merged(live: Object | None) -> Object:
        has_part = kind.has_status and not subresource
        return managedfields.apply(
            kind,
            live,
            config,
            manager=options.field_manager or "before-first-apply",
            now=meta.timestamp(ctx.clock.now()),
            force=options.force,
            subresource=subresource,
            ignored={"f:status": {}} if has_part else None,
        )

    def change(old: Object) -> Object:
        return without_revision(meta.copy(merged(old)), old)

    for _ in range(ATTEMPTS):
        if ctx.cache.get(kind, namespace, name) is not None:
            found = await modify(
                ctx, kind, namespace, name, change, applied, subresource=subresource
            )
            return found, False
        if subresource:
            raise not_found(kind.plural, name, kind.group)
        if config["metadata"].get("resourceVersion"):
            raise conflict(kind, name)
        try:
            made = await create(ctx, kind, namespace, meta.copy(merged(None)), applied)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            continue
        return made, True
    raise conflict(kind, name)


def _checked(kind: Kind, namespace: str, name: str, config: Any) -> Object:
    """The configuration as the stored version has it, with the names of its path."""
    if not isinstance(config, dict) or not isinstance(config.get("metadata", {}), dict):
        raise ApiError("BadRequest", "an apply configuration must be an object with metadata")
    if not config.get("apiVersion") or not config.get("kind"):
        raise ApiError("BadRequest", "an apply configuration needs apiVersion and kind")
    metadata = {**config.get("metadata", {})}
    for field, wanted in (("name", name), ("namespace", namespace)):
        stated = metadata.setdefault(field, wanted)
        if stated != wanted:
            message = f"the {field} of the object ({stated}) does not match the {field} on the URL"
            raise ApiError("BadRequest", f"{message} ({wanted})")
    if not metadata["namespace"]:
        del metadata["namespace"]
    converted = versions.to_stored(kind, {**config, "metadata": metadata})
    if converted.get("kind") != kind.kind or converted.get("apiVersion") != kind.api_version:
        stated = f"{config['apiVersion']}, Kind={config['kind']}"
        raise ApiError("BadRequest", f"{stated} cannot be applied as {kind.kind}")
    return converted
