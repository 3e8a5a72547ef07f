"""One IP family of one node's proxy: what the services are, and the backend that holds them.

A sync brings in only what changed. When the kernel refuses, the former rules stay, the next sync is
a full one, and the Service at fault is found by halving and left out, so that one bad Service never
takes everyone else's rules with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from netemu.errors import DataplaneError
from netemu.node.conntrack import ConntrackTable
from netemu.node.proxybackend import Backend, Change, Services
from netemu.proxy.conntrack import desired_served
from netemu.proxy.endpoints import Service
from netemu.proxy.model import NodeView

log = logging.getLogger(__name__)


class FamilyProxy:
    """Services of one family on the node whose namespace is at `path`."""

    def __init__(self, path: str, view: NodeView, backend: Backend) -> None:
        self._path = path
        self.view = view
        self.backend = backend
        self.services: dict[str, tuple[Service, ...]] = {}
        self.left_out: frozenset[str] = frozenset()
        """Services that the kernel refused."""
        self.needs_full = True
        self._conntrack: ConntrackTable | None = None

    async def sync(self, fresh: Mapping[str, tuple[Service, ...]]) -> None:
        """Bring in the services in `fresh` (an empty tuple: gone). Raises DataplaneError."""
        changes = [
            Change(key, self.services.get(key, ()), new)
            for key, new in fresh.items()
            if self.services.get(key, ()) != new
        ]
        for change in changes:
            if change.new:
                self.services[change.key] = change.new
            else:
                self.services.pop(change.key, None)
        if self.needs_full:
            await self._replace()
        elif changes:
            try:
                await self.backend.update(self.services, changes, self.view)
            except DataplaneError:
                self.needs_full = True
                raise
        await self._cut_stale(changes)

    async def _replace(self) -> None:
        self.left_out = frozenset()
        try:
            await self.backend.replace(self.services, self.view)
        except DataplaneError:
            self.left_out = await self._at_fault(self.services)
            if not self.left_out:
                raise
            rest = {k: v for k, v in self.services.items() if k not in self.left_out}
            await self.backend.replace(rest, self.view)
        # While something is left out, every sync is a full one: it may have been mended.
        self.needs_full = bool(self.left_out)

    async def _refuses(self, services: Services) -> bool:
        try:
            await self.backend.check(services, self.view)
        except DataplaneError:
            return True
        return False

    async def _at_fault(self, services: Services) -> frozenset[str]:
        """The Services that the kernel refuses, by halving. None when it refuses even nothing."""
        if await self._refuses({}):
            return frozenset()
        suspects, found = [services], set()
        while suspects:
            group = suspects.pop()
            if not group or not await self._refuses(group):
                continue
            if len(group) == 1:
                found |= set(group)
                continue
            keys = sorted(group)
            half = len(keys) // 2
            suspects += [{k: group[k] for k in part} for part in (keys[:half], keys[half:])]
        return frozenset(found)

    async def _cut_stale(self, changes: list[Change]) -> None:
        """UDP clients whose endpoint is gone move to another with their next packet."""
        gone = [s for change in changes for s in change.old if s.port.protocol == "udp"]
        present = [s for change in changes for s in change.new if s.port.protocol == "udp"]
        if not gone and not present:
            return
        served = desired_served(gone, present)
        addresses = frozenset({*self.view.addresses, self.view.address, "127.0.0.1"})

        def cut() -> int:
            if self._conntrack is None:
                self._conntrack = ConntrackTable(self._path)
            return self._conntrack.cut_stale(served, addresses, self.view.family)

        cut_count = await asyncio.to_thread(cut)
        if cut_count:
            log.info("stale UDP connections cut", extra={"kv": {"count": cut_count}})

    def close(self) -> None:
        """Let go of sockets; the rules stay."""
        self.backend.close()
        if self._conntrack is not None:
            self._conntrack.close()
            self._conntrack = None
