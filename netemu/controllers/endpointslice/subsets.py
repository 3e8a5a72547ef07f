"""The old Endpoints object: the same addresses, as subsets of one object. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/endpoint/endpoints_controller.go
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of
from netemu.api.meta import is_deleting, labels, name, namespace, uid
from netemu.controllers.endpointslice.endpoint import belongs, families_of, pod_addresses
from netemu.controllers.endpointslice.ports import Port, desired_ports, port_key
from netemu.controllers.endpointslice.slices import HEADLESS, is_headless
from netemu.controllers.podstate import is_ready

MAX_ADDRESSES = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def desired_subsets(service: Object, pods: Iterable[Object]) -> tuple[list[Any], bool]:
    """(subsets, whether addresses had to be left out); of the Service's first family only."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = families_of(service)[0]
    groups: dict[tuple[Any, ...], tuple[list[Port], list[Any], list[Any]]] = {}
    total = 0
    for pod in pods:
        if not belongs(pod) or (is_deleting(pod) and not publish):
            continue
        ports = _ports(service, pod)
        if ports is None:
            continue
        group = groups.setdefault(port_key(ports), (ports, [], []))
        for address in pod_addresses(pod, family)[:1]:
            total += 1
            if total <= MAX_ADDRESSES:
                group[1 if publish or is_ready(pod) else 2].append(_address(service, pod, address))
    return [_subset(*group) for group in groups.values() if group[1] or group[2]], (
        total > MAX_ADDRESSES
    )


def _ports(service: Object, pod: Object) -> list[Port] | None:
    """None: the pod has none of the Service's ports, so it is left out."""
    if not service["spec"].get("ports"):
        return [] if is_headless(service) else None
    found = []
    for port in desired_ports(service, pod):
        found.append({k: v for k, v in port.items() if k != "name" or v})
    return found or None


def _address(service: Object, pod: Object, address: str) -> dict[str, Any]:
    spec = pod["spec"]
    found: dict[str, Any] = {"ip": address}
    if spec.get("hostname") and spec.get("subdomain") == name(service):
        found["hostname"] = spec["hostname"]
    if spec.get("nodeName"):
        found["nodeName"] = spec["nodeName"]
    found["targetRef"] = {
        "kind": "Pod",
        "namespace": namespace(pod),
        "name": name(pod),
        "uid": uid(pod),
    }
    return found


def _subset(ports: list[Port], ready: list[Any], not_ready: list[Any]) -> dict[str, Any]:
    subset: dict[str, Any] = {}
    if ready:
        subset["addresses"] = sorted(ready, key=lambda address: str(address["ip"]))
    if not_ready:
        subset["notReadyAddresses"] = sorted(not_ready, key=lambda address: str(address["ip"]))
    if ports:
        subset["ports"] = ports
    return subset


def desired_endpoints(service: Object, pods: Iterable[Object], current: Object | None) -> Object:
    """The whole Endpoints object; starts from `current`, whose other fields stay."""
    subsets, truncated = desired_subsets(service, pods)
    marks = {k: v for k, v in annotations_of(current or {}).items() if k != OVER_CAPACITY}
    if truncated:
        marks[OVER_CAPACITY] = "truncated"
    wanted = {k: v for k, v in labels(service).items() if k != HEADLESS}
    wanted[MANAGED_BY] = "endpoint-controller"
    if is_headless(service):
        wanted[HEADLESS] = ""
    meta = dict((current or {}).get("metadata") or {})
    meta |= {"name": name(service), "namespace": namespace(service), "labels": wanted}
    if marks:
        meta["annotations"] = marks
    else:
        meta.pop("annotations", None)
    obj = {**(current or {}), "apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
    obj.pop("subsets", None)
    return obj | ({"subsets": subsets} if subsets else {})
