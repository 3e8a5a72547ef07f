"""What every verb of the pipeline works on, and what a request may ask besides its object."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from netemu.aio import Clock
from netemu.api.kind import Kind, Object
from netemu.apiserver.cache import Cache
from netemu.apiserver.registry import Registry, key_of
from netemu.apiserver.watcher import Entry
from netemu.errors import ApiError, not_found
from netemu.store.protocol import Store, StoreError

if TYPE_CHECKING:
    from netemu.apiserver.strategies.strategy import Strategy

encode = msgspec.json.Encoder().encode
ATTEMPTS = 20
"""How often a request without a resourceVersion is tried again after a lost race."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """CreateOptions, UpdateOptions and PatchOptions.

    Without `field_manager` no ownership is tracked; without `field_validation` (Strict, Warn or
    Ignore) the object's shape is trusted. Both are for components in this process.
    """

    dry_run: bool = False
    field_manager: str = ""
    force: bool = False
    field_validation: str = ""
    duplicates: tuple[str, ...] = ()
    """What the decoder said of keys that came twice."""
    api_version: str = ""
    """The version that the request speaks; empty: the stored one."""
    applied: bool = False
    """The object comes from server-side apply, which has done managedFields."""
    warnings: list[str] = field(default_factory=list)
    """Filled on the way: what the client should be told besides the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """metav1.DeleteOptions. `propagation_policy` empty: the kind's default (Background)."""

    dry_run: bool = False
    grace_period_seconds: int | None = None
    propagation_policy: str = ""
    uid: str = ""
    resource_version: str = ""


PLAIN = Options()


class Charge(Protocol):
    async def __call__(self, ctx: Context, kind: Kind, obj: Object, *, dry_run: bool) -> None: ...


class ClaimLost(Exception):
    """Another server just gave away what this write wants."""


@dataclass(slots=True, kw_only=True)
class Context:
    """The store, what is in it, and what the kinds do by themselves."""

    store: Store
    cache: Cache
    registry: Registry
    clock: Clock
    strategies: Mapping[tuple[str, str], Strategy]
    charge: Charge
    """Books what a new object takes from its namespace's quotas."""
    random: random.Random = field(default_factory=random.Random)

    def strategy(self, kind: Kind) -> Strategy:
        return self.strategies.get((kind.group, kind.plural)) or self.strategies["", ""]

    def find(self, kind: Kind, namespace: str, name: str) -> Entry:
        """The present object; ApiError NotFound without one."""
        entry = self.cache.get(kind, namespace, name)
        if entry is None:
            raise not_found(kind.plural, name, kind.group)
        return entry

    async def put(self, kind: Kind, obj: Object, expect: int) -> bool:
        """Commit `obj` over revision `expect` (0: there is none); False when the race is lost.

        `obj` becomes everybody's: it has its new resourceVersion afterwards and must not change.
        """
        metadata = obj["metadata"]
        metadata.pop("resourceVersion", None)
        key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
        revision = await self._txn(key, expect, encode(obj), obj)
        if revision:
            metadata["resourceVersion"] = str(revision)
        return bool(revision)

    async def put_claimed(self, kind: Kind, obj: Object, old: Object | None, expect: int) -> bool:
        """`put` what the strategy has claimed for it; ClaimLost when another was first."""
        strategy = self.strategy(kind)
        if not strategy.shares:
            return await self.put(kind, obj, expect)
        try:
            if not await strategy.claim(self, obj, old):
                raise ClaimLost
            try:
                return await self.put(kind, obj, expect)
            finally:
                await strategy.settled(self, obj)
        except StoreError as error:
            raise ApiError("InternalError", f"the store failed: {error}") from error

    async def remove(self, kind: Kind, entry: Entry) -> bool:
        metadata = entry.object["metadata"]
        key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
        return bool(await self._txn(key, entry.revision, None, None))

    async def _txn(self, key: str, expect: int, value: bytes | None, note: Object | None) -> int:
        """The new revision; 0 when the race is lost."""
        try:
            done = await self.store.txn(key, expect, value, note)
        except StoreError as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise ApiError("InternalError", f"the store failed: {error}{hint}") from error
        if done.succeeded:
            return done.revision
        await self.cache.reach(done.revision)  # see the winner before another attempt
        return 0


def conflict(kind: Kind, name: str) -> ApiError:
    """409: somebody else wrote first."""
    full = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    message = (
        f'Operation cannot be fulfilled on {full} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return ApiError("Conflict", message, details=_details(kind, name))


def precondition_failed(kind: Kind, name: str, what: str, wanted: str, found: str) -> ApiError:
    full = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    message = (
        f'Operation cannot be fulfilled on {full} "{name}": Precondition failed: '
        f"{what} in precondition: {wanted}, {what} in object meta: {found}"
    )
    return ApiError("Conflict", message, details=_details(kind, name))


def _details(kind: Kind, name: str) -> Object:
    return {"name": name, "kind": kind.plural} | ({"group": kind.group} if kind.group else {})
