"""The indexes behind the answers: by Service, by address; and who must hear of a change.

Every answer is made from a few keys of this store, its tags: `namespace/service`, a namespace's
name, a packed address, and `SOA` when the serial is in it. A change tells its tags to the watchers,
and they drop what they prepared from them. Nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from netemu.dns.kube.objects import CLUSTER_IP, HEADLESS, Pod, Service, Slice

K = TypeVar("K")
V = TypeVar("V")

SOA = "SOA"
"""The tag of every reply that holds the zone's serial."""


class Index(Generic[K, V]):
    """Key → values. Most keys have one, which then stands without a list around it."""

    __slots__ = ("_one", "_many")

    def __init__(self) -> None:
        self._one: dict[K, V] = {}
        self._many: dict[K, tuple[V, ...]] = {}

    def get(self, key: K) -> tuple[V, ...]:
        one = self._one.get(key)
        return (one,) if one is not None else self._many.get(key, ())

    def add(self, key: K, value: V) -> None:
        self._set(key, (*self.get(key), value))

    def drop(self, key: K, value: V) -> None:
        self._set(key, tuple(entry for entry in self.get(key) if entry is not value))

    def _set(self, key: K, values: tuple[V, ...]) -> None:
        self._one.pop(key, None)
        self._many.pop(key, None)
        if len(values) == 1:
            self._one[key] = values[0]
        elif values:
            self._many[key] = values


class Wanted(NamedTuple):
    """What a store must hold; plugins that want the same share one."""

    pods: bool = False
    pod_names: bool = False
    labels: str = ""
    namespace_labels: str = ""
    imports: bool = False
    """ServiceImports and their slices instead of Services (option `multicluster`)."""

    def selector(self, plural: str) -> str:
        """The label selector for a kind; empty: all."""
        if plural in ("services", "pods"):
            return self.labels
        return self.namespace_labels if plural == "namespaces" else ""


class Store:
    """Services, ready endpoints, namespaces and pods of one cluster."""

    def __init__(self) -> None:
        self.synced = False
        self.serial = 0
        self.namespaces: set[str] = set()
        self.services: dict[str, Service] = {}
        self.slices: dict[str, Slice] = {}
        self.pods: dict[str, Pod] = {}
        self.by_service: Index[str, Slice] = Index()
        self.by_cluster_ip: Index[bytes, Service] = Index()
        self.by_endpoint: Index[bytes, Slice] = Index()
        self.by_pod: Index[bytes, Pod] = Index()
        self._watchers: list[Callable[[Iterable[object]], None]] = []

    def watch(self, watcher: Callable[[Iterable[object]], None]) -> Callable[[], None]:
        """Tell `watcher` the tags of every change; the result ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def set_synced(self) -> None:
        """All lists have come; watchers hear of it."""
        if not self.synced:
            self.synced = True
            for watcher in self._watchers:
                watcher({SOA})

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
                self.by_cluster_ip.drop(address, old)
            tags.update(old.addresses)
            del self.services[key]
        if new is not None:
            self.services[key] = new
            for address in new.addresses:
                self.by_cluster_ip.add(address, new)
            tags.update(new.addresses)
        self._changed(tags, now)

    def set_slice(self, key: str, new: Slice | None, now: float) -> None:
        old = self.slices.get(key)
        if old == new:
            return
        tags: set[object] = set()
        if old is not None:
            del self.slices[key]
            self.by_service.drop(old.service, old)
            tags.add(old.service)
            for address in {endpoint.address for endpoint in old.endpoints}:
                self.by_endpoint.drop(address, old)
                tags.add(address)
        if new is not None:
            self.slices[key] = new
            self.by_service.add(new.service, new)
            tags.add(new.service)
            for address in {endpoint.address for endpoint in new.endpoints}:
                self.by_endpoint.add(address, new)
                tags.add(address)
        self._changed(tags, now)

    def set_pod(self, key: str, new: Pod | None, now: float) -> None:
        old = self.pods.get(key)
        if old == new:
            return
        tags: set[object] = set()
        if old is not None:
            del self.pods[key]
            self.by_pod.drop(old.address, old)
            tags.add(old.address)
        if new is not None:
            self.pods[key] = new
            self.by_pod.add(new.address, new)
            tags.add(new.address)
        self._changed(tags, now)

    def keys(self, kind: str) -> Iterable[str]:
        """The keys of all objects of a plural (`services`, `endpointslices` …)."""
        held: dict[str, Iterable[str]] = {
            "namespaces": self.namespaces,
            "services": self.services,
            "serviceimports": self.services,
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
