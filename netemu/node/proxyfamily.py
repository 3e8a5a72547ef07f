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
from netemu.netstate.conntrack import Look, Served, looks
from netemu.node.conntrack import ConntrackTable
from netemu.node.proxybackend import Backend, Change, Services
from netemu.proxy.claims import Claims
from netemu.proxy.conntrack import served_by, with_places_of
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
        """What the rules are made of: no two have one address and port."""
        self.claims = Claims()
        self.left_out: frozenset[str] = frozenset()
        """Services that the kernel refused."""
        self.needs_full = True
        self._conntrack: ConntrackTable | None = None
        self._uncut: list[Change] = []
        """Changes whose stale connections were not cut yet: a sync that failed has to, later."""

    async def sync(self, fresh: Mapping[str, tuple[Service, ...]]) -> None:
        """Bring in the services in `fresh` (an empty tuple: gone). Raises DataplaneError."""
        changes = [
            Change(key, self.services.get(key, ()), new)
            for key, new in self.claims.settle(fresh).items()
            if self.services.get(key, ()) != new
        ]
        for change in changes:
            if change.new:
                self.services[change.key] = change.new
            else:
                self.services.pop(change.key, None)
        self._uncut += [c for c in changes if any(s.port.protocol == "udp" for s in c.old + c.new)]
        if self.needs_full:
            await self._replace()
        elif changes:
            try:
                await self.backend.update(self.services, changes, self.view)
            except DataplaneError:
                self.needs_full = True
                raise
        await self._cut_stale()

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

    async def _cut_stale(self) -> None:
        """UDP clients whose endpoint is gone move to another with their next packet."""
        former = served_by(service for change in self._uncut for service in change.old)
        keys = {change.key for change in self._uncut}
        now = served_by(service for key in keys for service in self.services.get(key, ()))
        served = with_places_of(now, former)
        loopback = {"127.0.0.1"} if self.view.family == 4 else set()
        addresses = frozenset({*self.view.addresses, self.view.address, *loopback}) - {""}
        where = looks(former, served, addresses)
        if where:
            await asyncio.to_thread(self._cut, served, where, addresses)
        self._uncut.clear()

    def _cut(self, served: Served, where: frozenset[Look], node_addresses: frozenset[str]) -> None:
        if self._conntrack is None:
            self._conntrack = ConntrackTable(self._path)
        try:
            count = self._conntrack.cut_stale(served, where, node_addresses, self.view.family)
        except (DataplaneError, OSError):
            self._close_conntrack()  # answers to what failed may still come there
            raise
        if count:
            log.info("stale UDP connections cut", extra={"kv": {"count": count}})

    def _close_conntrack(self) -> None:
        if self._conntrack is not None:
            self._conntrack.close()
            self._conntrack = None

    def close(self) -> None:
        """Let go of sockets; the rules stay."""
        self.backend.close()
        self._close_conntrack()
