"""What the server sets in a Service before it validates it.

A client that sends only what it cares about must not lose what was allocated, and a change of type
must not fail on leftovers of the old one. The allocation itself, which needs the cluster's ranges,
is the API server's.

https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/service/strategy.go
"""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object

HEADLESS = "None"


def is_headless(spec: Object) -> bool:
    return spec.get("clusterIP") == HEADLESS or spec.get("clusterIPs") == [HEADLESS]


def needs_cluster_ip(spec: Object) -> bool:
    """Whether the Service gets an address of the service range (unless it is headless)."""
    return spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer")


def needs_node_port(spec: Object) -> bool:
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and (
        spec.get("allocateLoadBalancerNodePorts") is not False
    )


def needs_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_external(spec: Object) -> bool:
    """Whether traffic from outside the cluster can reach it, so that a policy makes sense."""
    if spec.get("type") in ("LoadBalancer", "NodePort"):
        return True
    return spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))


def prepare(obj: Object, old: Object | None) -> None:
    """In place, on a Service with its defaults."""
    spec = obj.setdefault("spec", {})
    before = (old or {}).get("spec") or {}
    if old is None:
        obj["status"] = {"loadBalancer": {}}
    else:
        _keep_allocated(spec, before)
        _drop_leftovers(spec, before)
    _join_cluster_ips(spec, before)
    _choose_families(spec)


def _join_cluster_ips(spec: Object, before: Object) -> None:
    """`clusterIP` is the first of `clusterIPs`; a client may know only the older field."""
    single, several = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if single and not several:
        spec["clusterIPs"] = [single]
    elif before and several == (before.get("clusterIPs") or []):
        if not single:
            spec.pop("clusterIPs", None)
        elif several and several[0] != single:
            spec["clusterIPs"] = [single]


def _keep_allocated(spec: Object, before: Object) -> None:
    if needs_cluster_ip(spec) and needs_cluster_ip(before):
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            _copy(spec, before, "clusterIP", "clusterIPs")
        elif spec.get("clusterIP") == before.get("clusterIP") and not spec.get("clusterIPs"):
            _copy(spec, before, "clusterIPs")
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(key):
                _copy(spec, before, key)
    if needs_node_port(spec) and needs_node_port(before):
        _keep_node_ports(spec, before)
    checked = needs_health_check(spec) and needs_health_check(before)
    if checked and not spec.get("healthCheckNodePort"):
        _copy(spec, before, "healthCheckNodePort")


def _copy(spec: Object, before: Object, *keys: str) -> None:
    for key in keys:
        if before.get(key):
            spec[key] = before[key]


def _keep_node_ports(spec: Object, before: Object) -> None:
    allocated = {
        _identity(port): port["nodePort"]
        for port in before.get("ports") or ()
        if port.get("nodePort")
    }
    taken = {
        (port.get("protocol"), port["nodePort"])
        for port in spec.get("ports") or ()
        if port.get("nodePort")
    }
    for port in spec.get("ports") or ():
        found = allocated.get(_identity(port))
        if found and not port.get("nodePort") and (port.get("protocol"), found) not in taken:
            port["nodePort"] = found


def _identity(port: dict[str, Any]) -> tuple[Any, Any]:
    return port.get("protocol"), port.get("port")


def _drop_leftovers(spec: Object, before: Object) -> None:
    """Fields that the old type needed, that the new one forbids, and that nobody touched."""
    unaddressed = needs_cluster_ip(before) and not needs_cluster_ip(spec)
    if unaddressed and spec.get("clusterIP") == before.get("clusterIP"):
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(key, None)
    if needs_node_port(before) and not needs_node_port(spec):
        old_ports = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in old_ports:
                port.pop("nodePort", None)
    unchecked = needs_health_check(before) and not needs_health_check(spec)
    if unchecked and spec.get("healthCheckNodePort") == before.get("healthCheckNodePort"):
        spec.pop("healthCheckNodePort", None)
    if spec.get("type") != "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(key) == before.get(key):
                spec.pop(key, None)
    if not is_external(spec) and spec.get("externalTrafficPolicy") == before.get(
        "externalTrafficPolicy"
    ):
        spec.pop("externalTrafficPolicy", None)
    if spec.get("type") == "ExternalName":
        spec.pop("internalTrafficPolicy", None)


def _choose_families(spec: Object) -> None:
    """IPv4 alone unless the Service says more. (Headless without selector: both, as upstream.)"""
    if spec.get("type") == "ExternalName":
        return
    both = is_headless(spec) and not spec.get("selector")
    policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack" if both else "SingleStack")
    families = list(spec.get("ipFamilies") or ())
    if not families:
        addresses = [address for address in spec.get("clusterIPs") or () if address != HEADLESS]
        families = ["IPv6" if ":" in address else "IPv4" for address in addresses] or ["IPv4"]
    if both and policy != "SingleStack" and len(families) == 1:
        families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    spec["ipFamilies"] = families
