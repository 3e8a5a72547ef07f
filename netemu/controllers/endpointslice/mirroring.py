"""Hand-written Endpoints of a Service without selector, mirrored into EndpointSlices.

The proxy and the resolver read slices only: this is how outside addresses get behind a Service.
https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import (
    annotations as annotations_of,
)
from netemu.api.meta import (
    is_deleting,
    key,
    labels,
    name,
    namespace,
    owner_reference,
    uid,
)
from netemu.controllers.batch import apply_side_by_side
from netemu.controllers.context import BY_SERVICE, SERVICE_NAME, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.endpointslice.endpoint import Endpoint, family_of
from netemu.controllers.endpointslice.ports import Port, port_key
from netemu.controllers.endpointslice.slices import (
    MANAGED_BY,
    Frame,
    Group,
    SlicePlan,
    identity,
    plan_slices,
)

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MAX_MIRRORED = 1000
"""Addresses of one subset that are mirrored; the rest is left out, as upstream."""


def is_mirrored(service: Object | None, endpoints: Object | None) -> bool:
    """Whether these Endpoints are hand-written ones of a Service without a selector."""
    if service is None or endpoints is None or is_deleting(service) or is_deleting(endpoints):
        return False
    return (
        not service["spec"].get("selector")
        and labels(endpoints).get(SKIP) != "true"
        and LEADER not in annotations_of(endpoints)
    )


def desired_groups(endpoints: Object, family: str) -> list[Group]:
    """The subsets' addresses of one family, by their ports."""
    groups: dict[tuple[Any, ...], Group] = {}
    for subset in endpoints.get("subsets") or ():
        ports = tuple(_port(port) for port in subset.get("ports") or ())
        group = groups.setdefault(port_key(ports), Group(ports=ports, endpoints={}))
        taken = 0
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                if family_of(address["ip"]) == family and taken < MAX_MIRRORED:
                    endpoint = _endpoint(address, ready)
                    group.endpoints.setdefault(identity(endpoint), endpoint)
                    taken += 1
    return [group for group in groups.values() if group.endpoints]


def _port(port: Any) -> Port:
    found: Port = {
        "name": port.get("name") or "",
        "port": port["port"],
        "protocol": port.get("protocol") or "TCP",
    }
    return found | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def _endpoint(address: Any, ready: bool) -> Endpoint:
    endpoint: Endpoint = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


def frame_of(endpoints: Object) -> Frame:
    kept = {k: v for k, v in labels(endpoints).items() if k not in (SERVICE_NAME, MANAGED_BY)}
    return Frame(
        prefix=name(endpoints),
        namespace=namespace(endpoints),
        labels={**kept, SERVICE_NAME: name(endpoints), MANAGED_BY: MANAGER},
        owner=owner_reference(endpoints, kinds.ENDPOINTS),
        placeholder=False,
    )


def plan_mirror(
    service: Object | None, endpoints: Object | None, existing: list[Object]
) -> list[SlicePlan]:
    """What to write so that the mirroring slices show what the Endpoints say."""
    if service is None or endpoints is None or not is_mirrored(service, endpoints):
        return [SlicePlan(delete=list(existing))]
    frame, plans = frame_of(endpoints), []
    for family in ("IPv4", "IPv6"):
        present = [slice_ for slice_ in existing if slice_.get("addressType") == family]
        groups = desired_groups(endpoints, family)
        plans.append(plan_slices(frame, family, groups, present, limit=MAX_MIRRORED))
    return plans


class EndpointSliceMirroringController(Controller):
    name: ClassVar[str] = "endpointslicemirroring"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.services = self.watch(kinds.SERVICES, _own_keys)
        self.endpoints = self.watch(kinds.ENDPOINTS, _own_keys)
        self.slices = self.watch(kinds.ENDPOINT_SLICES, _slice_keys)

    async def reconcile(self, key: str) -> float | None:
        existing = [
            slice_
            for slice_ in self.slices.by_index(BY_SERVICE, key)
            if labels(slice_).get(MANAGED_BY) == MANAGER
        ]
        service, endpoints = self.services.get(key), self.endpoints.get(key)
        for plan in plan_mirror(service, endpoints, existing):
            await self._apply(key, plan)
        return None

    async def _apply(self, where: str, plan: SlicePlan) -> None:
        async def write(slice_: Object) -> None:
            make = self.client.update if uid(slice_) else self.client.create
            self.writes.note(where, self.slices, await make(kinds.ENDPOINT_SLICES, slice_))

        async def delete(slice_: Object) -> None:
            await self.client.delete(
                kinds.ENDPOINT_SLICES, name(slice_), namespace(slice_), uid=uid(slice_)
            )
            self.writes.deleted(where, self.slices, slice_)

        errors = await apply_side_by_side([*plan.create, *plan.update], write)
        errors += await apply_side_by_side(plan.delete, delete)
        for error in errors:
            if error.reason != "NotFound":
                raise error


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    obj = new or old
    return (key(obj),) if obj else ()


def _slice_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    slice_ = new or old
    if slice_ is None or labels(slice_).get(MANAGED_BY) != MANAGER:
        return ()
    service = labels(slice_).get(SERVICE_NAME)
    return (f"{namespace(slice_)}/{service}",) if service else ()
