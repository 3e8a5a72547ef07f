"""`discovery.k8s.io/v1beta1`, which kube-proxy and others up to 1.20 ask for.

Its endpoints have `topology` labels where v1 has `nodeName`, `zone` and `deprecatedTopology`.
https://kubernetes.io/docs/reference/using-api/deprecation-guide/#endpointslice-v125
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object

_NODE = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"


def to_v1(obj: Object) -> Object:
    return {**obj, "endpoints": [_endpoint_to_v1(item) for item in obj.get("endpoints") or ()]}


def _endpoint_to_v1(endpoint: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in endpoint.items() if key != "topology"}
    topology = dict(endpoint.get("topology") or {})
    zone, node = topology.pop(_ZONE, None), topology.pop(_NODE, None)
    if zone:
        made["zone"] = zone
    if node and not made.get("nodeName"):
        made["nodeName"] = node
    if topology:
        made["deprecatedTopology"] = topology
    return made


def from_v1(obj: Object) -> Object:
    endpoints = [_endpoint_from_v1(item) for item in obj.get("endpoints") or ()]
    return {**obj, "endpoints": endpoints}


def _endpoint_from_v1(endpoint: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in endpoint.items() if key not in ("zone", "hints")}
    topology = dict(made.pop("deprecatedTopology", None) or {})
    if endpoint.get("zone"):
        topology[_ZONE] = endpoint["zone"]
    if endpoint.get("nodeName"):
        topology[_NODE] = endpoint["nodeName"]
    if topology:
        made["topology"] = topology
    return made
