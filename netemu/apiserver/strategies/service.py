"""Services: their families, cluster IPs and node ports are given out by the server.

https://kubernetes.io/docs/concepts/services-networking/service/ and
https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

from netemu.api import meta
from netemu.api.invalid import error as invalid_error
from netemu.api.kind import Cause, Kind, Object
from netemu.apiserver.cache import Cache
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.strategies.clusterips import ClusterIPs
from netemu.apiserver.strategies.nodeports import NodePorts
from netemu.apiserver.strategies.strategy import Strategy
from netemu.apiserver.watcher import Change


class ServiceStrategy(Strategy):
    returns_deleted = True

    def __init__(self, subnets: tuple[str, ...], port_range: tuple[int, int]) -> None:
        self._ips = ClusterIPs(subnets)
        self._ports = NodePorts(*port_range)
        self._reserved: dict[int, Reservation] = {}

    def follow(self, cache: Cache, kind: Kind) -> None:
        """Know what the present Services have, and keep knowing."""
        for entry in cache.of(kind).entries():
            self._note(None, entry.object)

        def changed(of: Kind, change: Change) -> None:
            if of is kind:
                before = change.before.object if change.before else None
                self._note(before, None if change.deleted else change.entry.object)

        cache.on_change(changed)

    def _note(self, before: Object | None, now: Object | None) -> None:
        for obj, known in ((before, False), (now, True)):
            if obj is not None:
                owner = meta.key(obj)
                self._ips.note(obj, owner, known)
                self._ports.note(obj, owner, known)

    def admit_create(self, ctx: Context, obj: Object) -> None:
        self._admit(ctx, obj)

    def admit_update(self, ctx: Context, obj: Object, old: Object) -> None:
        self._admit(ctx, obj)

    def _admit(self, ctx: Context, obj: Object) -> None:
        self._reserved[id(obj)] = taken = Reservation()
        owner = meta.key(obj)
        causes: list[Cause] = []
        causes += self._ips.settle(ctx.random, obj, owner, taken.addresses)
        causes += self._ports.settle(ctx.random, obj, owner, taken.ports)
        if causes:
            raise invalid_error("Service", "", meta.name(obj), causes)

    def release(self, ctx: Context, obj: Object) -> None:
        taken = self._reserved.pop(id(obj), None)
        if taken is not None:
            self._ips.release(taken.addresses)
            self._ports.release(taken.ports)


class Reservation:
    """What one request in flight has taken."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.ports: list[int] = []
