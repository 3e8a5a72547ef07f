"""The indexes behind the answers: by Service, by address; and who must hear of a change.

Every answer is made from a few keys of this store, its tags: `namespace/service`, a namespace's
name, a packed address, and `SOA` when the serial is in it. A change tells its tags to the watchers,
and they drop what they prepared from them. Nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from netemu.dns.kube.objects import CLUSTER_IP, HEADLESS, Pod, Service, Slice

K = TypeVar("K")
V = TypeVar("V")

SOA = "SOA"
"""The tag of every reply that holds the zone's serial."""


class Wanted(NamedTuple):
    """What a store must hold; plugins that want the same share one."""

    pods: bool = False
    pod_names: bool = False
    labels: str = ""
    namespace_labels: str = ""


class Store:
    """Services, ready endpoints, namespaces and pods of one cluster."""

    def __init__(self) -> None:
        self.synced = False
        self.serial = 0
        self.namespaces: set[str] = set()
        self.services: dict[str, Service] = {}
        self.slices: dict[str, Slice] = {}
        self.pods: dict[str, Pod] = {}
        self.by_service: dict[str, tuple[Slice, ...]] = {}
        self.by_cluster_ip: dict[bytes, tuple[Service, ...]] = {}
        self.by_endpoint: dict[bytes, tuple[Slice, ...]] = {}
        self.by_pod: dict[bytes, tuple[Pod, ...]] = {}
        self._watchers: list[Callable[[Iterable[object]], None]] = []

    def watch(self, watcher: Callable[[Iterable[object]], None]) -> Callable[[], None]:
        """Tell `watcher` the tags of every change; the result ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def set_namespace(self, name: str, present: bool, now: float) -> None:
        if present == (name in self.namespaces):
            return
        if present:
            self.namespaces.add(name)
        else:
            self.namespaces.discard(name)
        self._changed({name}, now)

    def set_service(self, key: str, new: Service | None, now: float) -> None:
        old = self.services.get(key)
        if old == new:
            return
        tags: set[object] = {key}
        if old is not None:
            for address in old.addresses:
                _drop(self.by_cluster_ip, address, old)
            tags.update(old.addresses)
            del self.services[key]
        if new is not None:
            self.services[key] = new
            for address in new.addresses:
                _add(self.by_cluster_ip, address, new)
            tags.update(new.addresses)
        self._changed(tags, now)

    def set_slice(self, key: str, new: Slice | None, now: float) -> None:
        old = self.slices.get(key)
        if old == new:
            return
        tags: set[object] = set()
        if old is not None:
            del self.slices[key]
            _drop(self.by_service, old.service, old)
            tags.add(old.service)
            for address in {endpoint.address for endpoint in old.endpoints}:
                _drop(self.by_endpoint, address, old)
                tags.add(address)
        if new is not None:
            self.slices[key] = new
            _add(self.by_service, new.service, new)
            tags.add(new.service)
            for address in {endpoint.address for endpoint in new.endpoints}:
                _add(self.by_endpoint, address, new)
                tags.add(address)
        self._changed(tags, now)

    def set_pod(self, key: str, new: Pod | None, now: float) -> None:
        old = self.pods.get(key)
        if old == new:
            return
        tags: set[object] = set()
        if old is not None:
            del self.pods[key]
            _drop(self.by_pod, old.address, old)
            tags.add(old.address)
        if new is not None:
            self.pods[key] = new
            _add(self.by_pod, new.address, new)
            tags.add(new.address)
        self._changed(tags, now)

    def keys(self, kind: str) -> Iterable[str]:
        """The keys of all objects of a plural (`services`, `endpointslices` …)."""
        held: dict[str, Iterable[str]] = {
            "namespaces": self.namespaces,
            "services": self.services,
            "endpointslices": self.slices,
            "pods": self.pods,
        }
        return list(held[kind])

    def service_kind(self, slice_: Slice | None) -> str:
        """`cluster_ip` or `headless_with_selector`, as the programming metric labels them."""
        owner = self.services.get(slice_.service) if slice_ else None
        if owner is None or owner.kind == CLUSTER_IP:
            return "cluster_ip"
        return "headless_with_selector" if owner.kind == HEADLESS else "headless_without_selector"

    def _changed(self, tags: set[object], now: float) -> None:
        if int(now) != self.serial:
            self.serial = int(now)
            tags.add(SOA)
        for watcher in self._watchers:
            watcher(tags)


def _add(index: dict[K, tuple[V, ...]], key: K, value: V) -> None:
    index[key] = (*index.get(key, ()), value)


def _drop(index: dict[K, tuple[V, ...]], key: K, value: V) -> None:
    rest = tuple(entry for entry in index.get(key, ()) if entry is not value)
    if rest:
        index[key] = rest
    else:
        index.pop(key, None)
