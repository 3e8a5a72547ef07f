"""The API client for code in the server's own process: no sockets, no JSON, shared objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from netemu.api import meta
from netemu.api.kind import Kind, Object, Resource
from netemu.apiserver.pipeline.apply import apply_object
from netemu.apiserver.pipeline.context import Context, DeleteOptions, Options
from netemu.apiserver.pipeline.create import create
from netemu.apiserver.pipeline.delete import delete
from netemu.apiserver.pipeline.evict import evict
from netemu.apiserver.pipeline.patch import patch_object
from netemu.apiserver.pipeline.subresources import bind, finalize, scale_of, update_scale
from netemu.apiserver.pipeline.update import update
from netemu.apiserver.progress import Progress
from netemu.apiserver.selection import select
from netemu.client.protocol import APPLY_PATCH, MERGE_PATCH, ObjectList, WatchEvent

_UNBOUNDED = 1 << 60


class LocalClient:
    """An `ApiClient` on the pipeline. `field_manager` empty: no managedFields are kept."""

    def __init__(self, context: Context, progress: Progress, *, field_manager: str = "") -> None:
        self._ctx, self._progress = context, progress
        self._manager = field_manager

    def _options(self, params: Mapping[str, str] | None = None) -> Options:
        if not self._manager and not params:
            return _PLAIN
        given = params or {}
        return Options(
            dry_run=given.get("dryRun") == "All",
            field_manager=given.get("fieldManager", self._manager),
            force=given.get("force") == "true",
        )

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        await self._ctx.cache.catch_up()
        return self._ctx.find(self._ctx.registry.of(resource), namespace, name).object

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        await self._ctx.cache.catch_up()
        kind = self._ctx.registry.of(resource)
        chosen = select(kind, namespace, labels, fields)
        entries = self._ctx.cache.of(kind).selected(chosen)
        matches = chosen.matches
        found = [entry.object for entry in entries if matches(entry.object)]
        return ObjectList(found, self._ctx.cache.revision)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[WatchEvent]:
        kind = self._ctx.registry.of(resource)
        chosen = select(kind, namespace, labels, fields)
        # Objects are shared and every consumer is in this process: nothing to be bounded.
        watcher = await self._ctx.cache.watch(chosen, revision, most=_UNBOUNDED)
        try:
            while True:
                await watcher.ready()
                while watcher:
                    event = watcher.take()
                    found = event.entry.object if event.entry else bookmark(kind, event.revision)
                    yield WatchEvent(event.type, found, event.revision)
        finally:
            self._ctx.cache.unwatch(watcher)

    async def create(self, resource: Resource, obj: Object) -> Object:
        kind = self._ctx.registry.of(resource)
        return await create(self._ctx, kind, "", meta.copy(obj), self._options())

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        kind = self._ctx.registry.of(resource)
        namespace, name = meta.namespace(obj), meta.name(obj)
        if subresource == "binding":
            return await bind(self._ctx, kind, namespace, name, obj, self._options())
        if subresource == "eviction":
            await evict(self._ctx, kind, namespace, name, DeleteOptions())
            return obj
        if subresource == "finalize":
            return await finalize(self._ctx, kind, name, obj, self._options())
        if subresource == "scale":
            return await update_scale(self._ctx, kind, namespace, name, obj, self._options())
        return await update(
            self._ctx, kind, namespace, meta.copy(obj), self._options(), subresource=subresource
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Any,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        kind, options = self._ctx.registry.of(resource), self._options(params)
        if subresource == "scale":
            return await update_scale(
                self._ctx, kind, namespace, name, patch, options, content_type=content_type
            )
        if content_type == APPLY_PATCH:
            done, _ = await apply_object(
                self._ctx, kind, namespace, name, patch, options, subresource=subresource
            )
            return done
        return await patch_object(
            self._ctx, kind, namespace, name, patch, content_type, options, subresource=subresource
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object:
        kind = self._ctx.registry.of(resource)
        options = DeleteOptions(
            uid=uid,
            grace_period_seconds=grace_period_seconds,
            propagation_policy=propagation_policy,
        )
        return (await delete(self._ctx, kind, namespace, name, options))[0]

    async def scale(self, resource: Resource, name: str, namespace: str) -> Object:
        """The autoscaling/v1 Scale of an object."""
        kind = self._ctx.registry.of(resource)
        return scale_of(kind, self._ctx.find(kind, namespace, name).object)

    async def report_progress(self, component: str, revision: int) -> None:
        self._progress.report(component, revision)

    async def barrier(self, revision: int = 0, *, timeout: float = 30.0) -> Object:
        return await self._progress.barrier(revision, timeout=timeout)


_PLAIN = Options()


def bookmark(kind: Kind, revision: int) -> Object:
    """The object of a BOOKMARK event."""
    metadata = {"resourceVersion": str(revision), "creationTimestamp": None}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
