"""One informer for each resource, shared by all who ask in one component."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from netemu.aio import Clock, spawn
from netemu.api.kind import Resource
from netemu.client.informer import Indexer, Informer
from netemu.client.protocol import ApiClient

_Key = tuple[str, str, str, str, str, str]


class Informers:
    """`of(...)` before or while `run()`; equal questions get the same informer."""

    def __init__(self, client: ApiClient, *, clock: Clock | None = None) -> None:
        self._client, self._clock = client, clock
        self._informers: dict[_Key, Informer] = {}
        self._group: asyncio.TaskGroup | None = None

    def of(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        indexers: Mapping[str, Indexer] | None = None,
    ) -> Informer:
        """The shared informer; `indexers` are added to those that it has."""
        key = (resource.group, resource.version, resource.plural, namespace, labels, fields)
        informer = self._informers.get(key)
        if informer is None:
            informer = Informer(
                self._client,
                resource,
                namespace=namespace,
                labels=labels,
                fields=fields,
                clock=self._clock,
            )
            self._informers[key] = informer
            if self._group is not None:
                self._start(self._group, informer)
        for name, indexer in (indexers or {}).items():
            informer.add_indexer(name, indexer)
        return informer

    async def wait_synced(self) -> None:
        """Wait for the first list of every informer that there is now."""
        for informer in tuple(self._informers.values()):
            await informer.wait_synced()

    @property
    def revision(self) -> int:
        """What all informers have handed out: the least of their revisions."""
        return min((informer.revision for informer in self._informers.values()), default=0)

    async def run(self) -> None:
        """Run all informers, those to come too, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for informer in tuple(self._informers.values()):
                    self._start(group, informer)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def _start(self, group: asyncio.TaskGroup, informer: Informer) -> None:
        spawn(group, informer.run(), name=f"informer-{informer.resource.plural}")
