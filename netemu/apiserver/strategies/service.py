"""Services: their families, cluster IPs and node ports are given out by the server.

https://kubernetes.io/docs/concepts/services-networking/service/ and
https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

from collections.abc import Sequence

from netemu.api import meta
from netemu.api.invalid import error as invalid_error
from netemu.api.kind import Cause, Kind, Object
from netemu.apiserver.cache import Cache
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.strategies.claims import Claims
from netemu.apiserver.strategies.clusterips import NONE, ClusterIPs, too_many_families
from netemu.apiserver.strategies.nodeports import NodePorts, numbers
from netemu.apiserver.strategies.strategy import Strategy
from netemu.apiserver.watcher import Change


class ServiceStrategy(Strategy):
    returns_deleted = True

    def __init__(
        self,
        subnets: tuple[str, ...],
        port_range: tuple[int, int],
        claims: Claims | None = None,
    ) -> None:
        """`claims`: with other servers on the same store."""
        self._claims = claims
        self.shares = claims is not None
        self._ips = ClusterIPs(subnets)
        self._ports = NodePorts(*port_range)
        self._reserved: dict[int, Reservation] = {}

    def follow(self, cache: Cache, kind: Kind, cidrs: Kind | None) -> None:
        """Know what the present Services have, and which ServiceCIDRs there are; keep knowing."""
        for entry in cache.of(kind).entries():
            self._note(None, entry.object)

        def ranges() -> None:
            if cidrs is not None:
                found = cache.of(cidrs).entries()
                self._ips.extend(net for entry in found for net in usable(entry.object))

        def changed(of: Kind, change: Change) -> None:
            if of is kind:
                before = change.before.object if change.before else None
                self._note(before, None if change.deleted else change.entry.object)
            elif of is cidrs:
                ranges()

        cache.on_change(changed)
        ranges()

    def _note(self, before: Object | None, now: Object | None) -> None:
        for obj, known in ((before, False), (now, True)):
            if obj is not None:
                owner = meta.key(obj)
                self._ips.note(obj, owner, known)
                self._ports.note(obj, owner, known)

    def admit_create(self, ctx: Context, obj: Object) -> None:
        causes = too_many_families(obj["spec"])
        if causes:
            raise invalid_error("Service", "", meta.name(obj), causes)
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

    async def claim(self, ctx: Context, obj: Object, old: Object | None) -> bool:
        fresh = _numbers(obj) - (_numbers(old) if old else set())
        if self._claims is None or not fresh:
            return True
        return await self._claims.take(fresh, meta.key(obj), self._is_taken)

    async def settled(self, ctx: Context, obj: Object) -> None:
        if self._claims is not None and _numbers(obj):
            await self._claims.drop(meta.key(obj))

    def _is_taken(self, number: str, owner: str) -> bool:
        if number.isdigit():
            return self._ports.is_taken(int(number), owner)
        return self._ips.is_taken(number, owner)

    def release(self, ctx: Context, obj: Object) -> None:
        taken = self._reserved.pop(id(obj), None)
        if taken is not None:
            self._ips.release(taken.addresses)
            self._ports.release(taken.ports)


def _numbers(obj: Object) -> set[str]:
    """Everything of a Service that no other may have."""
    given = {str(port) for port in numbers(obj)}
    addresses = (obj.get("spec") or {}).get("clusterIPs") or ()
    return given | {address for address in addresses if address != NONE}


def usable(cidr: Object) -> Sequence[str]:
    """The ranges of a ServiceCIDR, if new Services may have addresses of them."""
    found = (cidr.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in found)
    return cidr["spec"]["cidrs"] if ready and not meta.is_deleting(cidr) else ()


class Reservation:
    """What one request in flight has taken."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.ports: list[int] = []
