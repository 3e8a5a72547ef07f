"""Rules for Services.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
"""

from __future__ import annotations

from typing import Any

from netemu.api import meta, names
from netemu.api.invalid import duplicate, forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.labelrules import check_labels
from netemu.api.podspec.containers import PROTOCOLS
from netemu.api.podspec.probes import check_port
from netemu.api.servicespec.addresses import check_addresses, check_cluster_ips, not_special
from netemu.api.servicespec.changes import (
    is_external,
    is_headless,
    needs_cluster_ip,
    needs_health_check,
)

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
KUBELET_PORT = 10250
MAX_AFFINITY_SECONDS = 86400
_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"


def validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    if old is not None:
        causes += check_cluster_ips(spec, old.get("spec") or {})
    kind = spec.get("type") or ""
    if kind not in TYPES:
        causes.append(not_supported("spec.type", kind, TYPES) if kind else required("spec.type"))
    if not spec.get("ports") and not is_headless(spec) and kind != "ExternalName":
        causes.append(required("spec.ports"))
    causes += _check_type(spec, kind)
    causes += _check_ports(spec)
    if spec.get("selector"):
        causes += check_labels(spec["selector"], "spec.selector")
    causes += _check_affinity(spec)
    if kind != "ExternalName":
        causes += check_addresses(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        causes += not_special(address, f"spec.externalIPs[{index}]")
    causes += _check_load_balancer(obj, spec, old)
    return causes + _check_traffic(spec)


def _check_type(spec: Object, kind: str) -> list[Cause]:
    causes: list[Cause] = []
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        message = f"may not be set to 'None' for {kind} services"
        causes.append(invalid("spec.clusterIPs[0]", "None", message))
    if kind == "LoadBalancer":
        message = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
        causes += [
            invalid(f"spec.ports[{index}]", KUBELET_PORT, message)
            for index, port in enumerate(spec.get("ports") or ())
            if port.get("port") == KUBELET_PORT
        ]
    if kind == "ExternalName":
        causes += [
            forbidden(f"spec.{key}", "may not be set for ExternalName services")
            for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
            if spec.get(key)
        ]
        name = (spec.get("externalName") or "").removesuffix(".")
        if not name:
            causes.append(required("spec.externalName"))
        else:
            wrong = names.dns1123_subdomain(name)
            causes += [invalid("spec.externalName", name, why) for why in wrong]
    return causes


def _check_ports(spec: Object) -> list[Cause]:
    ports = spec.get("ports") or []
    causes: list[Cause] = []
    seen_names: set[str] = set()
    seen_ports: set[tuple[Any, Any]] = set()
    seen_node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        causes += _check_port(port, where, seen_names, needs_name=len(ports) > 1)
        identity = port.get("protocol"), port.get("port")
        if identity in seen_ports:
            shown = {"port": port.get("port"), "protocol": port.get("protocol")}
            causes.append(duplicate(where, shown))
        seen_ports.add(identity)
        node_port = port.get("nodePort")
        if not node_port:
            continue
        if spec.get("type") == "ClusterIP":
            message = "may not be used when `type` is 'ClusterIP'"
            causes.append(forbidden(f"{where}.nodePort", message))
        if (port.get("protocol"), node_port) in seen_node_ports:
            causes.append(duplicate(f"{where}.nodePort", node_port))
        seen_node_ports.add((port.get("protocol"), node_port))
    return causes


def _check_port(port: Object, path: str, seen: set[str], *, needs_name: bool) -> list[Cause]:
    causes: list[Cause] = []
    name, number = port.get("name") or "", port.get("port") or 0
    if name:
        causes += [invalid(f"{path}.name", name, why) for why in names.dns1123_label(name)]
        if name in seen:
            causes.append(duplicate(f"{path}.name", name))
        seen.add(name)
    elif needs_name:
        causes.append(required(f"{path}.name"))
    causes += [invalid(f"{path}.port", number, why) for why in names.port_number(number)]
    protocol = port.get("protocol") or ""
    if protocol not in PROTOCOLS:
        where = f"{path}.protocol"
        causes.append(not_supported(where, protocol, PROTOCOLS) if protocol else required(where))
    causes += check_port(port.get("targetPort"), f"{path}.targetPort")
    application = port.get("appProtocol")
    if application is not None:
        wrong = names.qualified_name(application)
        causes += [invalid(f"{path}.appProtocol", application, why) for why in wrong]
    return causes


def _check_affinity(spec: Object) -> list[Cause]:
    affinity, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    if affinity not in ("ClientIP", "None"):
        where = "spec.sessionAffinity"
        return [
            not_supported(where, affinity, ("ClientIP", "None")) if affinity else required(where)
        ]
    where = "spec.sessionAffinityConfig"
    if affinity == "None":
        if config is None:
            return []
        return [forbidden(where, "must not be set when session affinity is None")]
    if config is None:
        return [required(where, "when session affinity type is ClientIP")]
    timeout = (config.get("clientIP") or {}).get("timeoutSeconds") or 0
    if 0 < timeout <= MAX_AFFINITY_SECONDS:
        return []
    message = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
    return [invalid(f"{where}.clientIP.timeoutSeconds", timeout, message)]


def _check_load_balancer(obj: Object, spec: Object, old: Object | None) -> list[Cause]:
    causes: list[Cause] = []
    balances = spec.get("type") == "LoadBalancer"
    only = "may only be used when `type` is 'LoadBalancer'"
    ranges, where = spec.get("loadBalancerSourceRanges") or [], "spec.LoadBalancerSourceRanges"
    annotated = meta.annotations(obj).get(_RANGES_ANNOTATION)
    if not ranges and annotated:
        ranges = [text.strip() for text in annotated.split(",")]
        where = f"metadata.annotations[{_RANGES_ANNOTATION}]"
    if ranges and not balances:
        causes.append(forbidden(where, only))
    for text in ranges:
        if names.cidr(text.strip()):
            message = "must be a list of IP ranges. For example, 10.240.0.0/24,10.250.0.0/24 "
            causes.append(invalid(where, f"[{' '.join(ranges)}]", message))
            break
    if not balances:
        causes += [
            forbidden(f"spec.{key}", only)
            for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass")
            if spec.get(key) is not None
        ]
    load_balancer_class = spec.get("loadBalancerClass")
    if balances and load_balancer_class is not None:
        wrong = names.qualified_name(load_balancer_class)
        where = "spec.loadBalancerClass"
        causes += [invalid(where, load_balancer_class, why) for why in wrong]
    before = (old or {}).get("spec") or {}
    stays = before.get("type") == "LoadBalancer" == spec.get("type")
    if stays and before.get("loadBalancerClass") != spec.get("loadBalancerClass"):
        message = "may not change once set"
        causes.append(invalid("spec.loadBalancerClass", load_balancer_class, message))
    return causes


def _check_traffic(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    outside = spec.get("externalTrafficPolicy") or ""
    where = "spec.externalTrafficPolicy"
    if is_external(spec):
        if outside not in ("Cluster", "Local"):
            wrong = not_supported(where, outside, ("Cluster", "Local"))
            causes.append(
                wrong
                if outside
                else required(where, "must be set for NodePort and LoadBalancer services")
            )
    elif outside:
        message = "may only be set for externally-accessible services"
        causes.append(invalid(where, outside, message))
    inside = spec.get("internalTrafficPolicy")
    if needs_cluster_ip(spec) and inside not in ("Cluster", "Local"):
        at = "spec.internalTrafficPolicy"
        causes.append(not_supported(at, inside, ("Cluster", "Local")) if inside else required(at))
    if spec.get("healthCheckNodePort") and not needs_health_check(spec):
        message = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        causes.append(invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], message))
    distribution = spec.get("trafficDistribution")
    allowed = ("PreferClose", "PreferSameNode", "PreferSameZone")
    if distribution is not None and distribution not in allowed:
        causes.append(not_supported("spec.trafficDistribution", distribution, allowed))
    return causes


def _check_ip_mode(ingress: Object, where: str) -> list[Cause]:
    mode = ingress.get("ipMode")
    if mode is None:
        return []
    if not ingress.get("ip"):
        return [forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set")]
    known = ("Proxy", "VIP")
    return [] if mode in known else [not_supported(f"{where}.ipMode", mode, known)]


def validate_status(obj: Object, old: Object | None) -> list[Cause]:
    balancer = (obj.get("status") or {}).get("loadBalancer") or {}
    given = balancer.get("ingress") or ()
    if given and (obj.get("spec") or {}).get("type") != "LoadBalancer":
        message = "may only be used when `spec.type` is 'LoadBalancer'"
        return [forbidden("status.loadBalancer.ingress", message)]
    causes: list[Cause] = []
    for index, ingress in enumerate(given):
        where = f"status.loadBalancer.ingress[{index}]"
        address, hostname = ingress.get("ip"), ingress.get("hostname")
        causes += _check_ip_mode(ingress, where)
        if address:
            causes += [invalid(f"{where}.ip", address, why) for why in names.ip(address)]
        if hostname:
            wrong = names.dns1123_subdomain(hostname)
            causes += [invalid(f"{where}.hostname", hostname, why) for why in wrong]
            if names.ip_version(hostname):
                message = "must be a DNS name, not an IP address"
                causes.append(invalid(f"{where}.hostname", hostname, message))
    return causes
