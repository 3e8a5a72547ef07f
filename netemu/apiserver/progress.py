"""Barriers: how far every data plane is, and waiting until all hold a revision.

A proxy, an overlay or a resolver reports the revision that it has programmed. A barrier tells all
watches how far the store is (so that those who saw nothing new report as well), and waits.
"""

from __future__ import annotations

import asyncio

from netemu.api import meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.cache import Cache
from netemu.apiserver.watcher import Change
from netemu.errors import ApiError

_CONTROLLERS = "controllers/"
_GONE = 1000
"""Resolvers that are remembered as gone."""


class Progress:
    """A component counts from its first report, or `expect`, until its node or pod is gone.

    A resolver whose pod is gone, or going, may still say a last word: that must not make it count
    again, since nothing would follow.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._reported: dict[str, int] = {}
        self._gone: dict[str, None] = {}
        """Resolvers whose pods are gone, the latest last."""
        self._waiters: set[asyncio.Event] = set()
        cache.on_change(self._forget_lost)

    def report(self, component: str, revision: int) -> None:
        if component not in self._gone and revision > self._reported.get(component, -1):
            self._reported[component] = revision
            self._notify()

    def expect(self, component: str) -> None:
        """Let barriers wait for a component that has not reported yet."""
        self._reported.setdefault(component, 0)

    def forget(self, component: str) -> None:
        """Expect nothing more of a component, or of all below it (`node-1/`)."""
        for name in [name for name in self._reported if name == component]:
            del self._reported[name]
        if component.endswith("/"):
            for name in [name for name in self._reported if name.startswith(component)]:
                del self._reported[name]
        self._notify()

    def _forget_lost(self, kind: Kind, change: Change) -> None:
        """A silent node is not waited for; when it is back, it counts from its next report."""
        if kind.group or kind.plural not in ("nodes", "pods"):
            return
        obj = change.entry.object
        name = meta.name(obj)
        if kind.plural == "nodes" and (change.deleted or _is_silent(obj)):
            self.forget(f"{name}/")
        elif kind.plural == "pods":
            self._heed_pod(f"dns/{name}", obj, deleted=change.deleted)

    def _heed_pod(self, resolver: str, pod: Object, *, deleted: bool) -> None:
        if not deleted and not meta.is_deleting(pod):
            self._gone.pop(resolver, None)
            if resolver in self._reported and _has_stopped(pod):
                self.forget(resolver)  # started again, it counts from its next report
        elif resolver in self._reported or _is_resolver(pod):
            self._gone[resolver] = None
            while len(self._gone) > _GONE:
                del self._gone[next(iter(self._gone))]
            self.forget(resolver)

    def _notify(self) -> None:
        for waiter in self._waiters:
            waiter.set()

    async def barrier(self, revision: int = 0, *, timeout: float = 30.0) -> Object:
        """Wait until all components have `revision` (0: the newest); see `ApiClient.barrier`.

        The controllers come first: what they write because of `revision` is waited for as well.
        """
        await self._cache.reach(revision)
        wanted = revision or self._cache.revision
        moved = asyncio.Event()
        self._waiters.add(moved)
        self._cache.barriers += 1
        try:
            async with asyncio.timeout(timeout):
                if any(name.startswith(_CONTROLLERS) for name in self._reported):
                    await self._wait(wanted, moved, _CONTROLLERS)
                    wanted = max(wanted, self._cache.revision)
                await self._wait(wanted, moved)
        except TimeoutError:
            lagging = [f"{name} (at {at})" for name, at in self._lagging(wanted).items()]
            message = f"after {timeout:g} s revision {wanted} is not everywhere"
            raise ApiError("Timeout", f"{message}; waiting for {', '.join(lagging)}") from None
        finally:
            self._cache.barriers -= 1
            self._waiters.discard(moved)
        return {"revision": wanted, "components": dict(sorted(self._reported.items()))}

    async def _wait(self, revision: int, moved: asyncio.Event, prefix: str = "") -> None:
        """Until all components whose name starts with `prefix` have `revision`."""
        self._cache.bookmark_all()
        while self._lagging(revision, prefix):
            moved.clear()
            await moved.wait()

    def _lagging(self, revision: int, prefix: str = "") -> dict[str, int]:
        return {
            name: at
            for name, at in sorted(self._reported.items())
            if at < revision and name.startswith(prefix)
        }


def _is_silent(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "Unknown" for c in conditions)


def _is_resolver(pod: Object) -> bool:
    return meta.labels(pod).get("k8s-app") == "kube-dns"


def _has_stopped(pod: Object) -> bool:
    """Whether all its containers have been started, and none runs."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(statuses) and not any("running" in (s.get("state") or {}) for s in statuses)
