"""One leader among several: whoever holds the Lease, and renews it in time.

client-go's algorithm and times: others take the Lease over when they have not seen it change for as
long as it lasts, by their own clock. Every step is a compare-and-swap on the resourceVersion.
https://github.com/kubernetes/client-go/blob/master/tools/leaderelection/leaderelection.go
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from netemu.aio import Clock, spawn
from netemu.api.kind import Object
from netemu.api.kinds import LEASES
from netemu.client.protocol import ApiClient
from netemu.errors import ApiError

log = logging.getLogger(__name__)

_SECONDS, _RENEW_WITHIN, _RETRY = 15, 10.0, 2.0


class LeaderElection:
    """`identity` tells this candidate from all others, and is the same after a restart."""

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        *,
        name: str,
        identity: str,
        namespace: str = "kube-system",
    ) -> None:
        self._client, self._clock = client, clock
        self._name, self._namespace, self.identity = name, namespace, identity
        self._seen = ""
        self._seen_at = 0.0
        self.leading = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled: `lead()` runs while this is the leader, and is cancelled when not."""
        while True:
            while not await self._try():
                await self._clock.sleep(_RETRY)
            log.info("leading", extra={"kv": {"lease": self._name}})
            self.leading = True
            try:
                await self._lead(lead)
            finally:
                self.leading = False
            log.warning("no longer leading", extra={"kv": {"lease": self._name}})

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        async def work() -> None:
            await lead()

        async with asyncio.TaskGroup() as group:
            working = spawn(group, work(), name=f"leading-{self._name}")
            renewed = self._clock.monotonic()
            while self._clock.monotonic() - renewed < _RENEW_WITHIN:
                await self._clock.sleep(_RETRY)
                if await self._try():
                    renewed = self._clock.monotonic()
            working.cancel()

    async def _try(self) -> bool:
        """Take or renew the Lease; False when somebody else has it, or it cannot be written."""
        try:
            return await self._take(await self._client.get(LEASES, self._name, self._namespace))
        except ApiError as error:
            if error.reason != "NotFound":
                log.debug("no lease", extra={"kv": {"error": str(error)}})
                return False
        try:
            metadata = {"name": self._name, "namespace": self._namespace}
            now = self._now()
            spec = self._spec(now) | {"acquireTime": now, "leaseTransitions": 0}
            await self._client.create(LEASES, {"metadata": metadata, "spec": spec})
        except ApiError:
            return False
        return True

    async def _take(self, lease: Object) -> bool:
        spec, revision = lease["spec"], lease["metadata"]["resourceVersion"]
        if revision != self._seen:
            self._seen, self._seen_at = revision, self._clock.monotonic()
        mine = spec.get("holderIdentity") == self.identity
        lasts = float(spec.get("leaseDurationSeconds") or _SECONDS)
        alive = self._clock.monotonic() - self._seen_at < lasts
        if spec.get("holderIdentity") and alive and not mine:
            return False
        now = self._now()
        new = {**spec, **self._spec(now)}
        if not mine:
            new["acquireTime"] = now
            new["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        await self._client.update(LEASES, {**lease, "spec": new})
        return True

    def _spec(self, now: str) -> Object:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": _SECONDS,
            "renewTime": now,
        }

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
