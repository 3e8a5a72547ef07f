"""A key in etcd that lives as long as who wrote it: etcd itself removes it some seconds after.

https://etcd.io/docs/v3.5/learning/api/#lease-api
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from netemu.store.etcd import EtcdStore
from netemu.store.protocol import StoreError

log = logging.getLogger(__name__)


class LeasedKey:
    """`seconds`: how long `key` outlives its writer."""

    def __init__(self, store: EtcdStore, key: str, seconds: int) -> None:
        self._store, self._key, self._seconds = store, key, seconds
        self._lease = 0
        self._value = b""

    async def write(self, value: bytes) -> None:
        self._value = value
        if not self._lease:
            granted = await self._store.lease("grant", {"TTL": self._seconds})
            self._lease = int(granted["ID"])
        await self._store.put_leased(self._key, value, self._lease)

    async def run(self) -> None:
        """Keep it alive until cancelled; write it again when etcd was away for too long."""
        while True:
            await asyncio.sleep(self._seconds / 3)
            try:
                if not await self._renew():
                    log.warning("lease lost, writing anew", extra={"kv": {"key": self._key}})
                    self._lease = 0
                    await self.write(self._value)
            except StoreError as error:
                pairs = {"key": self._key, "error": str(error)}
                log.warning("lease not renewed", extra={"kv": pairs})

    async def _renew(self) -> bool:
        answer = await self._store.lease("keepalive", {"ID": self._lease})
        return int((answer.get("result") or {}).get("TTL", 0)) > 0

    async def drop(self) -> None:
        """Remove the key now; it would go by itself."""
        if self._lease:
            with contextlib.suppress(StoreError):
                await self._store.lease("revoke", {"ID": self._lease})
            self._lease = 0
