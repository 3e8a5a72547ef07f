"""The API servers of one cluster over one etcd: who is there, at which address, with which nodes.

Each keeps a record under a lease, as kube-apiserver's lease endpoint reconciler does: a server that
dies is out of the Service `kubernetes` some seconds later. The records also say whose nodes are
whose, because two machines must not run one node, and what all have to agree on.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controlplane/reconcilers/lease.go
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

import msgspec

from netemu.aio import spawn
from netemu.errors import ApiError, MembershipError
from netemu.store.etcd import EtcdStore
from netemu.store.etcdlease import LeasedKey
from netemu.store.protocol import Event, Store, StoreError

log = logging.getLogger(__name__)

PREFIX = "/registry/masterleases/"
LEASE_SECONDS = 15
_RECONCILE_SECONDS = 10.0

Apply = Callable[[Sequence["Member"]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server. `settings`: what all members must have alike, by the names users know."""

    id: str
    name: str
    host: str
    address: str = ""
    port: int = 0
    node_subnet: str = ""
    nodes: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f'"{self.name}" on {self.host}'


async def read_members(store: Store) -> list[Member]:
    """All that live, the first that came first."""
    found = await store.range(PREFIX)
    rows = sorted(found.rows, key=lambda row: row.create_rev)
    return [msgspec.convert(msgspec.json.decode(row.value)["member"], Member) for row in rows]


def check(new: Member, others: Iterable[Member]) -> None:
    """MembershipError with everything in which `new` does not fit."""
    problems: list[str] = []
    for other in others:
        if other.id == new.id:
            continue
        problems += [
            f"{name} is {value or 'empty'} here, and {other.settings[name]} at {other}"
            for name, value in new.settings.items()
            if other.settings.get(name, value) != value
        ]
        both = [name for name in new.nodes if name in other.nodes]
        if both:
            verb = "belong" if len(both) > 1 else "belongs"
            problems.append(f"node{'s' * (len(both) > 1)} {', '.join(both)} {verb} to {other}")
        if new.node_subnet and other.node_subnet and _overlap(new.node_subnet, other.node_subnet):
            subnets = f"{new.node_subnet} overlaps {other.node_subnet}"
            problems.append(f"networking.nodeSubnet: {subnets} of {other}")
    if problems:
        raise MembershipError(
            [f"the cluster in this etcd: {problem}" for problem in dict.fromkeys(problems)],
            hint="name other nodes (--nodes b-1,b-2), use its settings, or choose another"
            " --etcd-prefix for a cluster of its own",
        )


def _overlap(one: str, other: str) -> bool:
    return ip_network(one).overlaps(ip_network(other))


class Members:
    """This server's record, and what all records together make of the Service `kubernetes`."""

    def __init__(self, store: EtcdStore, me: Member) -> None:
        self._store = store
        self.me = me
        self._leased = LeasedKey(store, PREFIX + me.id, LEASE_SECONDS)
        self._changed = asyncio.Event()

    async def join(self) -> None:
        """Write the record; MembershipError, and no record, when an earlier member objects."""
        await self._write()
        try:
            earlier = []
            for member in await read_members(self._store):
                if member.id == self.me.id:
                    break
                earlier.append(member)
            check(self.me, earlier)
        except BaseException:
            await self._leased.drop()
            raise

    async def set_nodes(self, names: Sequence[str]) -> None:
        """Own these nodes from now on; MembershipError when one is another member's."""
        changed = replace(self.me, nodes=tuple(names))
        check(changed, await read_members(self._store))
        self.me = changed
        await self._write()

    async def _write(self) -> None:
        record = {"metadata": {"name": self.me.id}, "member": msgspec.to_builtins(self.me)}
        await self._leased.write(msgspec.json.encode(record))

    async def run(self, apply: Apply) -> None:
        """Until cancelled: keep the record, and tell `apply` whoever lives, at each change."""
        changed = asyncio.Event()

        def deliver(events: Sequence[Event]) -> None:
            if events:
                changed.set()

        watch = self._store.watch(PREFIX, deliver, changed.set)
        try:
            async with asyncio.TaskGroup() as group:
                spawn(group, self._leased.run(), name="member-record")
                while True:
                    changed.clear()
                    try:
                        await apply(await read_members(self._store))
                    except (StoreError, ApiError) as error:
                        log.warning("members not known", extra={"kv": {"error": str(error)}})
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_RECONCILE_SECONDS):
                            await changed.wait()
        finally:
            watch.cancel()
