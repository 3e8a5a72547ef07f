"""Put decoded objects into a store: one function a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from netemu.api.kind import Resource
from netemu.dns.kube import objects
from netemu.dns.kube.store import Store, Wanted
from netemu.dns.source import problems


class Feed(NamedTuple):
    """How one kind gets into a store."""

    resource: Resource
    shape: type[Any]
    set: Callable[[Store, Any, bool, Wanted, float], None]
    """(store, decoded object, whether it exists, wanted, epoch seconds)."""
    key: Callable[[Any], str]


def _namespace(store: Store, raw: Any, exists: bool, wanted: Wanted, now: float) -> None:
    store.set_namespace(raw.metadata.name, exists, now)


def _service(store: Store, raw: Any, exists: bool, wanted: Wanted, now: float) -> None:
    wrong: list[str] = []
    store.set_service(_key(raw), objects.service(raw, wrong) if exists else None, now)
    problems.tell(wrong)


def _slice(store: Store, raw: Any, exists: bool, wanted: Wanted, now: float) -> None:
    wrong: list[str] = []
    made = objects.endpoint_slice(raw, wrong, pod_names=wanted.pod_names) if exists else None
    store.set_slice(_key(raw), made, now)
    problems.tell(wrong)


def _pod(store: Store, raw: Any, exists: bool, wanted: Wanted, now: float) -> None:
    store.set_pod(_key(raw), objects.pod(raw) if exists else None, now)


def _import(store: Store, raw: Any, exists: bool, wanted: Wanted, now: float) -> None:
    wrong: list[str] = []
    store.set_service(_key(raw), objects.service_import(raw, wrong) if exists else None, now)
    problems.tell(wrong)


def _imported_slice(store: Store, raw: Any, exists: bool, wanted: Wanted, now: float) -> None:
    wrong: list[str] = []
    store.set_slice(_key(raw), objects.imported_slice(raw, wrong) if exists else None, now)
    problems.tell(wrong)


def _key(raw: Any) -> str:
    return objects.key_of(raw.metadata)


def _name(raw: Any) -> str:
    return str(raw.metadata.name)


NAMESPACES = Feed(
    Resource(plural="namespaces", kind="Namespace", namespaced=False),
    objects.RawNamespace,
    _namespace,
    _name,
)
SERVICES = Feed(Resource(plural="services", kind="Service"), objects.RawService, _service, _key)
SLICES = Feed(
    Resource(group="discovery.k8s.io", version="v1", plural="endpointslices", kind="EndpointSlice"),
    objects.RawSlice,
    _slice,
    _key,
)
PODS = Feed(Resource(plural="pods", kind="Pod"), objects.RawPod, _pod, _key)

IMPORTS = Feed(
    Resource(
        group="multicluster.x-k8s.io",
        version="v1alpha1",
        plural="serviceimports",
        kind="ServiceImport",
    ),
    objects.RawImport,
    _import,
    _key,
)
IMPORTED_SLICES = SLICES._replace(set=_imported_slice)


def feeds(wanted: Wanted) -> tuple[Feed, ...]:
    """The kinds that a store with `wanted` is fed with."""
    if wanted.imports:
        return (NAMESPACES, IMPORTS, IMPORTED_SLICES)
    return (NAMESPACES, SERVICES, SLICES, *((PODS,) if wanted.pods else ()))
