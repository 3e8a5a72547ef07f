"""Spread endpoints over EndpointSlices and change as few slices as possible. Pure.

Every changed slice is sent to every node, so an endpoint stays in the slice where it is; new ones
first fill slices that change anyway, then the fullest slice with room, then new slices.
https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/endpointslice/reconciler.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import labels, name, namespace, owner_reference
from netemu.controllers.context import SERVICE_NAME
from netemu.controllers.endpointslice.endpoint import Endpoint
from netemu.controllers.endpointslice.ports import Port, port_key

MAX_ENDPOINTS = 100
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
_RESERVED = frozenset({SERVICE_NAME, MANAGED_BY, HEADLESS})


@dataclass(slots=True, kw_only=True)
class SlicePlan:
    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Endpoints that have the same ports; `endpoints` by `identity`."""

    ports: tuple[Port, ...]
    endpoints: dict[str, Endpoint]


def identity(endpoint: Endpoint) -> str:
    """An endpoint is the same one while its pod and its addresses are."""
    target = endpoint.get("targetRef") or {}
    return f"{target.get('uid') or ''}/{','.join(endpoint['addresses'])}"


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def desired_labels(service: Object, manager: str = MANAGER) -> dict[str, str]:
    kept = {k: v for k, v in labels(service).items() if k not in _RESERVED}
    wanted = {**kept, SERVICE_NAME: name(service), MANAGED_BY: manager}
    if is_headless(service):
        wanted[HEADLESS] = ""
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all slices of one Service, from one controller, have in common."""

    prefix: str
    namespace: str
    labels: dict[str, str]
    owner: dict[str, Any]
    placeholder: bool
    """Whether an empty slice says that there are no endpoints."""

    def new(self, family: str, ports: Sequence[Port], endpoints: list[Endpoint]) -> Object:
        meta: dict[str, Any] = {
            "generateName": f"{self.prefix}-",
            "namespace": self.namespace,
            "labels": self.labels,
            "ownerReferences": [self.owner],
        }
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta,
            "addressType": family,
            "endpoints": endpoints,
            "ports": list(ports),
        }

    def changed(self, slice_: Object, endpoints: list[Endpoint]) -> Object:
        meta = {**slice_["metadata"], "labels": self.labels}
        return {**slice_, "metadata": meta, "endpoints": endpoints}

    def outdated(self, slice_: Object) -> bool:
        return dict(labels(slice_)) != self.labels


def frame_of(service: Object) -> Frame:
    """The frame of a Service's own slices."""
    return Frame(
        prefix=name(service),
        namespace=namespace(service),
        labels=desired_labels(service),
        owner=owner_reference(service, kinds.SERVICES),
        placeholder=True,
    )


def plan_slices(
    frame: Frame,
    family: str,
    groups: Iterable[Group],
    existing: Sequence[Object],
    *,
    limit: int = MAX_ENDPOINTS,
) -> SlicePlan:
    """What to write so that the slices of one address type hold exactly `groups`."""
    plan = SlicePlan()
    by_ports: dict[tuple[Any, ...], list[Object]] = {}
    for slice_ in existing:
        by_ports.setdefault(port_key(slice_.get("ports")), []).append(slice_)
    for group in groups:
        present = by_ports.pop(port_key(group.ports), [])
        _plan_group(frame, family, group, present, plan, limit)
    spare = [slice_ for slices in by_ports.values() for slice_ in slices]
    if frame.placeholder and len(existing) == len(plan.delete) + len(spare) and not plan.create:
        _leave_one(frame, family, spare, plan)
    plan.delete.extend(spare)
    return plan


def _leave_one(frame: Frame, family: str, spare: list[Object], plan: SlicePlan) -> None:
    """A Service without endpoints keeps one empty slice, without ports."""
    empty = next((s for s in spare if not s.get("endpoints") and not s.get("ports")), None)
    if empty is None:
        plan.create.append(frame.new(family, (), []))
        return
    spare.remove(empty)
    if frame.outdated(empty):
        plan.update.append(frame.changed(empty, []))


@dataclass(slots=True)
class _Draft:
    """A slice while it is planned."""

    slice: Object
    endpoints: list[Endpoint]
    dirty: bool


def _plan_group(
    frame: Frame,
    family: str,
    group: Group,
    present: Sequence[Object],
    plan: SlicePlan,
    limit: int,
) -> None:
    left = dict(group.endpoints)
    drafts = [_draft(frame, slice_, left) for slice_ in present]
    for draft in drafts:
        if draft.dirty and draft.endpoints:
            _fill(draft, left, limit)
    if left and len(left) <= limit:
        _fill_fullest(drafts, left, limit)
    rest = list(left.values())
    new = [
        frame.new(family, group.ports, rest[start : start + limit])
        for start in range(0, len(rest), limit)
    ]
    for draft in drafts:
        if not draft.endpoints:
            # A slice that has become empty is used again before a new one is made.
            if new:
                draft.endpoints, draft.dirty = new.pop()["endpoints"], True
            else:
                plan.delete.append(draft.slice)
                continue
        if draft.dirty:
            plan.update.append(frame.changed(draft.slice, draft.endpoints))
    plan.create.extend(new)


def _draft(frame: Frame, slice_: Object, left: dict[str, Endpoint]) -> _Draft:
    """What stays in the slice, taken out of `left`."""
    dirty, kept = frame.outdated(slice_), []
    for endpoint in slice_.get("endpoints") or ():
        wanted = left.pop(identity(endpoint), None)
        if wanted is None:
            dirty = True
            continue
        dirty = dirty or wanted != endpoint
        kept.append(wanted)
    return _Draft(slice_, kept, dirty)


def _fill(draft: _Draft, left: dict[str, Endpoint], limit: int) -> None:
    while left and len(draft.endpoints) < limit:
        draft.endpoints.append(left.pop(next(iter(left))))
        draft.dirty = True


def _fill_fullest(drafts: list[_Draft], left: dict[str, Endpoint], limit: int) -> None:
    """Put all that is left into the fullest slice that has room for all of it."""
    room = [d for d in drafts if d.endpoints and len(d.endpoints) + len(left) <= limit]
    if room:
        _fill(max(room, key=lambda draft: len(draft.endpoints)), left, limit)
