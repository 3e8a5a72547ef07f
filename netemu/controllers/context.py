"""What every controller is given: the client, the shared informers, the clock, the recorder.

One set of informers serves all controllers of a process, so every index that any of them needs is
declared here and an object is indexed once, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from netemu.aio import Clock
from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import controller_of, name, namespace
from netemu.client.informer import Informer
from netemu.client.informers import Informers
from netemu.client.protocol import ApiClient
from netemu.config.cluster import ClusterConfig

BY_OWNER = "owner"
"""Index: uid of the controlling owner; `orphans/<namespace>` for what has none."""
BY_NAMESPACE = "namespace"
BY_NODE = "node"
"""Index of pods: spec.nodeName."""
BY_SERVICE = "service"
"""Index of EndpointSlices: `namespace/service`."""
BY_CLAIM = "claim"
"""Index of pods: `namespace/claim` of each PersistentVolumeClaim they mount."""

SERVICE_NAME = "kubernetes.io/service-name"

Indexer = Callable[[Object], Iterable[str]]


class Recorder(Protocol):
    """The part of client.events.EventRecorder that controllers use."""

    def event(
        self, obj: Object, resource: Resource, type: str, reason: str, message: str
    ) -> None: ...


def owner_key(obj: Object) -> tuple[str, ...]:
    """Where `obj` stands in the index of children by owner."""
    owner = controller_of(obj)
    return (owner["uid"],) if owner else (f"orphans/{namespace(obj)}",)


def _namespace_key(obj: Object) -> tuple[str, ...]:
    return (namespace(obj),)


def _node_key(pod: Object) -> tuple[str, ...]:
    node = (pod.get("spec") or {}).get("nodeName")
    return (node,) if node else ()


def _service_key(slice_: Object) -> tuple[str, ...]:
    service = (slice_["metadata"].get("labels") or {}).get(SERVICE_NAME)
    return (f"{namespace(slice_)}/{service}",) if service else ()


def claims_of(pod: Object) -> tuple[str, ...]:
    """`namespace/claim` of each PersistentVolumeClaim that the pod mounts."""
    found = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            found.append(f"{namespace(pod)}/{claim['claimName']}")
        elif "ephemeral" in volume:
            found.append(f"{namespace(pod)}/{name(pod)}-{volume['name']}")
    return tuple(found)


_CHILD: Mapping[str, Indexer] = {BY_OWNER: owner_key, BY_NAMESPACE: _namespace_key}
_INDEXERS: Mapping[str, Mapping[str, Indexer]] = {
    "pods": {**_CHILD, BY_NODE: _node_key, BY_CLAIM: claims_of},
    "replicasets": _CHILD,
    "controllerrevisions": _CHILD,
    "jobs": _CHILD,
    "services": {BY_NAMESPACE: _namespace_key},
    "endpointslices": {BY_SERVICE: _service_key},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerContext:
    """Given to every controller by the manager."""

    client: ApiClient
    informers: Informers
    clock: Clock
    events: Recorder
    config: ClusterConfig

    def informer(self, resource: Resource) -> Informer:
        """The shared informer of `resource`, with every index that a controller may ask for."""
        return self.informers.of(resource, indexers=_INDEXERS.get(resource.plural, {}))

    @property
    def pods(self) -> Informer:
        return self.informer(kinds.PODS)
