"""Service: a name and address for pods; its rules and allocations are `api/servicespec/`.

https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netemu.api import cells
from netemu.api.cells import AGE, NAME, NONE, at
from netemu.api.kind import Column, Kind, Object
from netemu.api.servicespec.changes import prepare
from netemu.api.servicespec.rules import validate, validate_status

AFFINITY_SECONDS = 10800


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    _default_affinity(spec)
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort") and port.get("port"):
            port["targetPort"] = port["port"]
    kind = spec["type"]
    outside = kind in ("NodePort", "LoadBalancer") or (
        kind == "ClusterIP" and bool(spec.get("externalIPs"))
    )
    if outside and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _default_affinity(spec: Object) -> None:
    affinity = spec.get("sessionAffinity")
    if not affinity:
        affinity = spec["sessionAffinity"] = "None"
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            timeout = {"timeoutSeconds": AFFINITY_SECONDS}
            spec["sessionAffinityConfig"] = {"clientIP": timeout}


def _cluster_ip(obj: Object, now: float) -> str:
    spec = obj.get("spec") or {}
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return addresses[0] or NONE


def external_ip(obj: Object, now: float = 0) -> str:
    """What stands under EXTERNAL-IP."""
    spec = obj.get("spec") or {}
    given: list[str] = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(given) or NONE
        case "LoadBalancer":
            found = cells.load_balancer(obj)
            return ",".join([*([found] if found else []), *given]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName"))
    return "<unknown>"


def ports(obj: Object, now: float = 0) -> str:
    """`80/TCP,443:30443/TCP`: port, node port, protocol."""
    return ",".join(map(_port, (obj.get("spec") or {}).get("ports") or ())) or NONE


def _port(port: dict[str, Any]) -> str:
    number, outside = port.get("port"), port.get("nodePort")
    shown = f"{number}:{outside}" if outside else f"{number}"
    return f"{shown}/{port.get('protocol')}"


def _fields(obj: Object) -> Mapping[str, str]:
    spec = obj.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}


SERVICES = Kind(
    plural="services",
    kind="Service",
    short_names=("svc",),
    categories=("all",),
    storage="services/specs",
    schema="io.k8s.api.core.v1.Service",
    name_rule="dns1035-label",
    subresources=frozenset(("proxy", "status")),
    default=_default,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    fields=_fields,
    columns=(
        NAME,
        Column("Type", at("spec", "type")),
        Column("Cluster-IP", _cluster_ip),
        Column("External-IP", external_ip),
        Column("Port(s)", ports),
        AGE,
        Column(
            "Selector",
            lambda obj, now: cells.labels((obj.get("spec") or {}).get("selector")),
            priority=1,
        ),
    ),
)
