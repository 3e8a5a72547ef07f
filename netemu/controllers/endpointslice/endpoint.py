"""From a pod to an endpoint of a Service. Pure.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions
https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-distribution
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import is_deleting, name, namespace, uid
from netemu.controllers.podstate import is_finished, is_ready

ZONE = "topology.kubernetes.io/zone"
Endpoint = dict[str, Any]


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def families_of(service: Object) -> tuple[str, ...]:
    """The address types that the Service's slices have."""
    spec = service["spec"]
    if found := spec.get("ipFamilies"):
        return tuple(found)
    address = spec.get("clusterIP") or ""
    return (family_of(address),) if address and address != "None" else ("IPv4",)


def pod_addresses(pod: Object, family: str) -> tuple[str, ...]:
    status = pod.get("status") or {}
    found = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    if not found and status.get("podIP"):
        found = [status["podIP"]]
    return tuple(address for address in found if family_of(address) == family)


def belongs(pod: Object) -> bool:
    """Whether the pod is an endpoint at all: it has an address and has not finished."""
    status = pod.get("status") or {}
    return bool(status.get("podIP") or status.get("podIPs")) and not is_finished(pod)


def desired_endpoint(
    service: Object, pod: Object, zone: str | None, family: str
) -> Endpoint | None:
    """The pod as an endpoint; None when it has no address of that family. `zone`: its node's."""
    addresses = pod_addresses(pod, family)
    if not addresses:
        return None
    serving, terminating = is_ready(pod), is_deleting(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    ready = publish or (serving and not terminating)
    endpoint: Endpoint = {
        "addresses": list(addresses),
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "namespace": namespace(pod),
            "name": name(pod),
            "uid": uid(pod),
        },
    }
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == name(service):
        endpoint["hostname"] = spec["hostname"]
    if spec.get("nodeName"):
        endpoint["nodeName"] = spec["nodeName"]
    if zone:
        endpoint["zone"] = zone
    if hints := _hints(service, ready, zone, spec.get("nodeName")):
        endpoint["hints"] = hints
    return endpoint


def _hints(service: Object, ready: bool, zone: str | None, node: str | None) -> dict[str, Any]:
    """Where traffic should come from, as spec.trafficDistribution asks; KEP-2433, KEP-3015."""
    wanted = service["spec"].get("trafficDistribution")
    hints: dict[str, Any] = {}
    if not wanted or not ready:
        return hints
    if zone:
        hints["forZones"] = [{"name": zone}]
    if wanted == "PreferSameNode" and node:
        hints["forNodes"] = [{"name": node}]
    return hints
