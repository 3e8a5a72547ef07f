"""Keep the EndpointSlices of every Service that has a selector.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, labels, name, namespace, revision, uid
from netemu.controllers.batch import apply_side_by_side
from netemu.controllers.context import BY_SERVICE, SERVICE_NAME, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.endpointslice.endpoint import (
    ZONE,
    Endpoint,
    belongs,
    desired_endpoint,
    families_of,
)
from netemu.controllers.endpointslice.members import ServicePods
from netemu.controllers.endpointslice.ports import Port, desired_ports, port_key
from netemu.controllers.endpointslice.slices import (
    MANAGED_BY,
    MANAGER,
    Group,
    SlicePlan,
    frame_of,
    identity,
    plan_slices,
)
from netemu.errors import ApiError

_Made = tuple[tuple[Port, ...], tuple[object, ...], Endpoint | None]
_Cache = dict[tuple[str, str], tuple[Object, int, str | None, _Made]]
"""(pod uid, family) -> (pod, Service version, zone, what these make)."""


class EndpointSliceController(Controller):
    name: ClassVar[str] = "endpointslice"

    def __init__(self, context: ControllerContext, members: ServicePods) -> None:
        super().__init__(context)
        self.members = members
        self.services = self.watch(kinds.SERVICES)
        self.pods = self.watch(kinds.PODS)
        self.slices = self.watch(kinds.ENDPOINT_SLICES, _slice_keys)
        self.nodes = self.watch(kinds.NODES, self._node_keys)
        members.on_change(self.enqueue)
        self._made: dict[str, _Cache] = {}
        self._coming: dict[str, int] = {}
        """Pods of a Service that were not ready at the last look."""

    def _node_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """A node's zone is part of its pods' endpoints."""
        before, after = (labels(node).get(ZONE) if node else None for node in (old, new))
        if before == after:
            return ()
        return [key(service) for service in self.services.objects.values()]

    def pause(self, key: str) -> float:
        """Up to 0.1 s for hundreds of endpoints, 0.25 s while dozens are still to become ready.

        Each look costs one at every proxy as well: while many pods come, a few looks do for all.
        A few endpoints never wait.
        """
        size, coming = self.members.count(key), self._coming.get(key, 0)
        large = min(size / 2_000, 0.1) if size > 100 else 0.0
        return max(large, min(coming / 400, 0.25) if coming > 20 else 0.0)

    async def reconcile(self, key: str) -> float | None:
        service = self.services.get(key)
        if service is None or is_deleting(service):
            self._made.pop(key, None)
            self._coming.pop(key, None)
            return None
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or not spec.get("selector"):
            return None
        existing = [
            slice_
            for slice_ in self.slices.by_index(BY_SERVICE, key)
            if labels(slice_).get(MANAGED_BY) == MANAGER and not is_deleting(slice_)
        ]
        families = families_of(service)
        plans = [SlicePlan(delete=[s for s in existing if s.get("addressType") not in families])]
        frame = frame_of(service)
        made: _Cache = {}
        for family in families:
            groups = self._groups(key, service, family, made)
            present = [s for s in existing if s.get("addressType") == family]
            plans.append(plan_slices(frame, family, groups, present))
        self._made[key] = made
        self._coming[key] = sum(1 for entry in made.values() if not _ready(entry[3]))
        await self._apply(key, plans)
        return None

    def _groups(self, where: str, service: Object, family: str, made: _Cache) -> list[Group]:
        """The Service's endpoints of one family, by their ports. Unchanged pods are not redone."""
        before, version = self._made.get(where, {}), revision(service)
        groups: dict[tuple[object, ...], Group] = {}
        for pod in self.members.of(where):
            node = self.nodes.get(pod["spec"].get("nodeName") or "")
            zone = labels(node).get(ZONE) if node is not None else None
            slot = (uid(pod), family)
            entry = before.get(slot)
            if entry is None or entry[0] is not pod or entry[1:3] != (version, zone):
                entry = (pod, version, zone, _make(service, pod, zone, family))
            made[slot] = entry
            ports, hashed, endpoint = entry[3]
            if endpoint is not None:
                group = groups.setdefault(hashed, Group(ports=ports, endpoints={}))
                group.endpoints[identity(endpoint)] = endpoint
        return list(groups.values())

    async def _apply(self, where: str, plans: Sequence[SlicePlan]) -> None:
        async def create(slice_: Object) -> None:
            made = await self.client.create(kinds.ENDPOINT_SLICES, slice_)
            self.writes.note(where, self.slices, made)

        async def update(slice_: Object) -> None:
            changed = await self.client.update(kinds.ENDPOINT_SLICES, slice_)
            self.writes.note(where, self.slices, changed)

        async def delete(slice_: Object) -> None:
            await self.client.delete(
                kinds.ENDPOINT_SLICES, name(slice_), namespace(slice_), uid=uid(slice_)
            )
            self.writes.deleted(where, self.slices, slice_)

        errors: list[ApiError] = []
        for plan in plans:
            # What is new appears before what is old goes: no moment without any endpoint.
            errors += await apply_side_by_side(plan.create, create)
            errors += await apply_side_by_side(plan.update, update)
            errors += await apply_side_by_side(plan.delete, delete)
        for error in errors:
            if error.reason != "NotFound":
                raise error


def _make(service: Object, pod: Object, zone: str | None, family: str) -> _Made:
    if not belongs(pod):
        return (), (), None
    ports = desired_ports(service, pod)
    return ports, port_key(ports), desired_endpoint(service, pod, zone, family)


def _ready(made: _Made) -> bool:
    endpoint = made[2]
    return endpoint is not None and bool(endpoint["conditions"]["ready"])


def _slice_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    """Slices of ours that somebody else changed are put right."""
    slice_ = new or old
    if slice_ is None or labels(slice_).get(MANAGED_BY) != MANAGER:
        return ()
    service = labels(slice_).get(SERVICE_NAME)
    return (f"{namespace(slice_)}/{service}",) if service else ()
