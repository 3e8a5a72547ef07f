"""Cluster IPs and node ports, where several API servers give them out over one etcd.

Each server knows from the Services which numbers are taken, but not what another has just given to
a Service that is not written yet. So whoever takes numbers first writes them into one key, with a
compare-and-swap: only one passes at a time, and sees all that passed before. A claim ends when its
Service is there, or after a while, should its server have died in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from netemu.store.protocol import Store

KEY = "/registry/ranges/netemu-services"
_SECONDS = 30.0
_encode, _decode = msgspec.json.encode, msgspec.json.Decoder().decode

Claim = tuple[str, float]
"""Owner (namespace/name of a Service) and when it was claimed."""


class Claims:
    def __init__(
        self, store: Store, reach: Callable[[int], Awaitable[None]], now: Callable[[], float]
    ) -> None:
        """`reach(revision)`: wait until all Services are known as of that revision."""
        self._store, self._reach, self._now = store, reach, now
        self._one = asyncio.Lock()

    async def take(
        self, numbers: Iterable[str], owner: str, is_taken: Callable[[str, str], bool]
    ) -> bool:
        """Claim `numbers` (`10.96.0.7`, `30001`); False when another owner was faster.

        `is_taken(number, owner)`: whether a present Service other than `owner` has it.
        """
        wanted = set(numbers)
        async with self._one:
            while True:
                claims, revision = await self._read()
                # Looked at after the key was: who passed before us has his Service, or his claim.
                if any(is_taken(number, owner) for number in wanted):
                    return False
                if any(n in claims and claims[n][0] != owner for n in wanted):
                    return False
                claims |= {number: (owner, self._now()) for number in wanted}
                value = _encode({"metadata": {"name": "netemu-services"}, "claims": claims})
                done = await self._store.txn(KEY, revision, value)
                if done.succeeded:
                    return True

    async def drop(self, owner: str) -> None:
        """The write that `owner` claimed numbers for is over: its Service says what it has."""
        async with self._one:
            while True:
                claims, revision = await self._read()
                kept = {number: claim for number, claim in claims.items() if claim[0] != owner}
                value = _encode({"metadata": {"name": "netemu-services"}, "claims": kept})
                if (await self._store.txn(KEY, revision, value)).succeeded:
                    return

    async def _read(self) -> tuple[dict[str, Claim], int]:
        """The claims that still hold, and the key's revision."""
        found = await self._store.range(KEY)
        if not found.rows:
            return {}, 0
        row = found.rows[0]
        await self._reach(row.mod_rev)  # our Services must be as new as the claims
        late = self._now() - _SECONDS
        claims: dict[str, list[object]] = _decode(row.value).get("claims") or {}
        kept = {n: (str(c[0]), float(str(c[1]))) for n, c in claims.items()}
        return {n: claim for n, claim in kept.items() if claim[1] > late}, row.mod_rev
