"""CustomResourceDefinitions at work: each makes a kind that is served while the definition exists.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import asyncio
import logging

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.pipeline.delete import delete
from netemu.apiserver.pipeline.update import modify
from netemu.apiserver.strategies.customresourcedefinition import CLEANUP
from netemu.apiserver.watcher import Change
from netemu.errors import ApiError

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class CustomResources:
    """Keeps the registry in step with the definitions, and empties kinds that are to go."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._kinds: dict[str, Kind] = {}
        self._ending: asyncio.Queue[str] = asyncio.Queue()

    def follow(self) -> None:
        """Serve what is defined now, and from now on."""
        definitions = self._definitions()
        if definitions is None:
            return
        for entry in self._ctx.cache.of(definitions).entries():
            self._serve(entry.object)
        self._ctx.cache.on_change(self._changed)

    def _definitions(self) -> Kind | None:
        return self._ctx.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")

    def _changed(self, kind: Kind, change: Change) -> None:
        if kind is self._definitions():
            if change.deleted:
                self._retire(meta.name(change.entry.object))
            elif change.before is None or _differs(change.entry.object, change.before.object):
                self._serve(change.entry.object)
            if meta.is_deleting(change.entry.object) and not change.deleted:
                self._ending.put_nowait(meta.name(change.entry.object))
        elif kind.open_api is not None and change.deleted and self._kinds:
            name = f"{kind.plural}.{kind.group}"
            definition = self._definition(name)
            if definition is not None and meta.is_deleting(definition):
                self._ending.put_nowait(name)  # perhaps that was the last one

    def _serve(self, definition: Object) -> None:
        from netemu.api import crd  # most clusters have none

        name, kind = meta.name(definition), crd.kind_of(definition)
        old = self._kinds.get(name)
        if old is not None:
            self._ctx.registry.remove(old)
        self._kinds[name] = kind
        self._ctx.registry.add(kind)
        self._ctx.cache.add_kind(kind)
        if meta.is_deleting(definition):
            self._ending.put_nowait(name)

    def _retire(self, name: str) -> None:
        kind = self._kinds.pop(name, None)
        if kind is not None:
            self._ctx.cache.remove_kind(kind)
            self._ctx.registry.remove(kind)

    def _definition(self, name: str) -> Object | None:
        definitions = self._definitions()
        entry = self._ctx.cache.get(definitions, "", name) if definitions is not None else None
        return entry.object if entry is not None else None

    async def run(self) -> None:
        """Delete the objects of definitions that are being deleted; until cancelled."""
        while True:
            name = await self._ending.get()
            try:
                await self._empty(name)
            except ApiError as error:
                pairs = {"definition": name, "error": str(error)}
                log.warning("custom resources not deleted yet", extra={"kv": pairs})
                await self._ctx.clock.sleep(_RETRY_SECONDS)
                self._ending.put_nowait(name)

    async def _empty(self, name: str) -> None:
        definition, kind = self._definition(name), self._kinds.get(name)
        definitions = self._definitions()
        if definition is None or kind is None or definitions is None:
            return
        if CLEANUP not in (meta.metadata(definition).get("finalizers") or ()):
            return
        for entry in tuple(self._ctx.cache.of(kind).entries()):
            if not meta.is_deleting(entry.object):
                space, named = meta.namespace(entry.object), meta.name(entry.object)
                try:
                    await delete(self._ctx, kind, space, named)
                except ApiError as error:
                    if error.reason != "NotFound":
                        raise
        if not self._ctx.cache.of(kind).count:
            await modify(self._ctx, definitions, "", name, _without_cleanup)


def _differs(new: Object, old: Object) -> bool:
    return bool(new["spec"] != old["spec"])


def _without_cleanup(old: Object) -> Object:
    new = meta.copy(old)
    metadata = new["metadata"]
    del metadata["resourceVersion"]
    metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != CLEANUP]
    return new
