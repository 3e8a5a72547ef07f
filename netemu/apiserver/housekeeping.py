"""What the server does by the clock: bookmarks, compaction, and forgetting old Events.

Upstream: bookmarks once a minute, compaction every five minutes of what is older than that, Events
live for an hour (kube-apiserver --event-ttl).
https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks
"""

from __future__ import annotations

import logging

from netemu.api import meta
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.pipeline.delete import delete
from netemu.errors import ApiError
from netemu.store.protocol import StoreError

log = logging.getLogger(__name__)

_TICK = 30.0
_COMPACT_EVERY = 10  # ticks: five minutes
_EVENT_SECONDS = 3600.0


class Housekeeping:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._compact_to = 0

    async def run(self) -> None:
        """Until cancelled."""
        tick = 0
        while True:
            await self._ctx.clock.sleep(_TICK)
            tick += 1
            self._ctx.cache.bookmark_all()
            if tick % _COMPACT_EVERY == 0:
                await self.compact()
                await self.expire_events()

    async def compact(self) -> None:
        """Forget what was already history at the last call."""
        try:
            if self._compact_to:
                await self._ctx.store.compact(self._compact_to)
        except StoreError as error:
            log.warning("compaction failed", extra={"kv": {"error": str(error)}})
        self._compact_to = self._ctx.cache.revision

    async def expire_events(self) -> None:
        kind = self._ctx.registry.find("", "v1", "events")
        if kind is None:
            return
        before = meta.timestamp(self._ctx.clock.now() - _EVENT_SECONDS)
        for entry in tuple(self._ctx.cache.of(kind).entries()):
            obj = entry.object
            if (
                max(obj.get("lastTimestamp") or "", meta.metadata(obj)["creationTimestamp"])
                < before
            ):
                try:
                    await delete(self._ctx, kind, meta.namespace(obj), meta.name(obj))
                except ApiError as error:
                    log.debug("event kept", extra={"kv": {"error": str(error)}})
