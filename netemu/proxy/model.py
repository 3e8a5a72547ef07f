"""What a proxy needs to know of Services and EndpointSlices, pruned and frozen.

`service_ports` and `endpoints_of` are the border: raw objects on one side, values on the other. One
IP family at a time, as kube-proxy runs one proxier a family: an address of the other family never
gets through.

https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/serviceport.go
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/endpoint.go
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Literal

from netemu.api import meta
from netemu.api.kind import Object
from netemu.api.servicespec.addresses import unmapped

Family = Literal[4, 6]

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
_MADE_FROM_PODS = "endpointslice-controller.k8s.io"
SELECTOR = f"!{PROXY_NAME_LABEL},!{HEADLESS_LABEL}"
"""Label selector of kube-proxy's own watches: another proxy's Services are not its business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of one Service, in one family. Addresses are in canonical text form."""

    namespace: str
    name: str
    port_name: str = ""
    protocol: str = "tcp"
    """tcp, udp or sctp."""
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    """Of status.loadBalancer, with ipMode VIP; addresses with ipMode Proxy are not ours to take."""
    source_ranges: tuple[str, ...] = ()
    external_local: bool = False
    internal_local: bool = False
    affinity_seconds: int = 0
    """0: no session affinity."""
    health_check_node_port: int = 0

    @property
    def key(self) -> str:
        """`namespace/name:port`; without `:port` when the port has no name."""
        suffix = f":{self.port_name}" if self.port_name else ""
        return f"{self.namespace}/{self.name}{suffix}"

    @property
    def is_external(self) -> bool:
        """Whether anything but its ClusterIP leads to it."""
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Local external traffic still needs them, for its short circuit from pods and node."""
        return not self.internal_local or self.is_external

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.is_external)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that may serve a ServicePort."""

    address: str
    port: int
    node: str = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """`address:port`, `[address]:port` for IPv6."""
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The node whose rules are compiled, and kube-proxy's settings there, in one family."""

    name: str
    family: Family = 4
    zone: str = ""
    address: str = ""
    """The node's own address (its InternalIP)."""
    addresses: tuple[str, ...] = ()
    """Every address of the node that may receive NodePort traffic, loopback left out."""
    local_cidr: str = ""
    """Where this cluster's pods come from (detectLocalMode ClusterCIDR). Empty: no detector."""
    masquerade_all: bool = False
    node_port_addresses: tuple[str, ...] = ()
    """Networks of the family, or `primary`; empty: each mode's default (`proxy.nodeports`)."""
    localhost_node_ports: bool = True
    service_cidrs: tuple[str, ...] = ()
    conntrack_be_liberal: bool = False
    """net.netfilter.nf_conntrack_tcp_be_liberal: the INVALID drop is left out then."""
    ipvs_scheduler: str = "rr"


_LEADING_ZEROS = re.compile(r"\b0+(?=\d)")


def _decimal(text: str) -> str:
    """An IPv4 address or network without leading zeros, which kube-proxy reads as decimal."""
    return text if ":" in text else _LEADING_ZEROS.sub("", text)


def _canonical(text: object, family: Family) -> str:
    """The address in canonical form, or empty when it is malformed or of the other family.

    kube-proxy takes what the API let through in older releases: leading zeros.
    """
    try:
        parsed = unmapped(ip_address(_decimal(str(text))))
    except ValueError:
        return ""
    return str(parsed) if parsed.version == family else ""


def _canonical_cidr(text: object, family: Family) -> str:
    """As `_canonical`; networks may have spaces around them as well."""
    try:
        parsed = ip_network(_decimal(str(text).strip()), strict=False)
    except ValueError:
        return ""
    return str(parsed) if parsed.version == family else ""


def _several(values: Iterable[object], family: Family) -> tuple[str, ...]:
    """Canonical, of the family, in order, each once."""
    return tuple(dict.fromkeys(a for a in (_canonical(v, family) for v in values) if a))


def is_proxied(service: Object) -> bool:
    """Whether a proxy has anything to do for `service`: not headless, not an ExternalName."""
    spec = service.get("spec") or {}
    if {PROXY_NAME_LABEL, HEADLESS_LABEL} & set(meta.labels(service)):
        return False
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") not in ("None", "", None)


def _cluster_ip(spec: Object, family: Family) -> str:
    found = _several(spec.get("clusterIPs") or [spec.get("clusterIP")], family)
    return found[0] if found else ""


def _load_balancer_ips(service: Object, family: Family) -> tuple[str, ...]:
    if (service.get("spec") or {}).get("type") != "LoadBalancer":
        return ()
    status = (service.get("status") or {}).get("loadBalancer") or {}
    ingress = status.get("ingress") or ()
    return _several(
        (entry.get("ip", "") for entry in ingress if entry.get("ipMode", "VIP") == "VIP"), family
    )


def _source_ranges(spec: Object, family: Family) -> tuple[str, ...]:
    found = (_canonical_cidr(r, family) for r in spec.get("loadBalancerSourceRanges") or ())
    return tuple(dict.fromkeys(cidr for cidr in found if cidr))


def _affinity(spec: Object) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or 10800)


def service_ports(service: Object, family: Family = 4) -> tuple[ServicePort, ...]:
    """The ports of a `v1/Service` in one family; none when it has nothing to proxy there."""
    if not is_proxied(service):
        return ()
    spec = service["spec"]
    cluster_ip = _cluster_ip(spec, family)
    if not cluster_ip:
        return ()
    kind = spec.get("type", "ClusterIP")
    has_ports = kind in ("NodePort", "LoadBalancer")
    load_balancer_ips = _load_balancer_ips(service, family)
    external_ips = _several(spec.get("externalIPs") or (), family)
    external_local = spec.get("externalTrafficPolicy") == "Local" and (
        has_ports or bool(external_ips)
    )
    return tuple(
        ServicePort(
            namespace=meta.namespace(service),
            name=meta.name(service),
            port_name=port.get("name") or "",
            protocol=(port.get("protocol") or "TCP").lower(),
            cluster_ip=cluster_ip,
            port=int(port["port"]),
            node_port=int(port.get("nodePort") or 0) if has_ports else 0,
            external_ips=external_ips,
            load_balancer_ips=load_balancer_ips,
            source_ranges=_source_ranges(spec, family) if kind == "LoadBalancer" else (),
            external_local=external_local,
            internal_local=spec.get("internalTrafficPolicy") == "Local",
            affinity_seconds=_affinity(spec),
            health_check_node_port=int(spec.get("healthCheckNodePort") or 0)
            if external_local and kind == "LoadBalancer"
            else 0,
        )
        for port in spec.get("ports") or ()
    )


def _usable_address(text: object, family: Family) -> str:
    """Canonical, or empty for what nobody can be sent to: loopback, link-local and the like."""
    return _usable(str(text), family)


@lru_cache(maxsize=200_000)  # the same addresses come with every change of a Service
def _usable(text: str, family: Family) -> str:
    address = _canonical(text, family)
    if not address:
        return ""
    parsed = ip_address(address)
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
        return ""
    return address


def _endpoint(raw: Object, address: str, port: int) -> Endpoint:
    """`ready` and `serving` count as true when absent, each for itself."""
    conditions = raw.get("conditions") or {}
    ready, serving = conditions.get("ready"), conditions.get("serving")
    hints = raw.get("hints") or {}
    return Endpoint(
        address,
        port,
        raw.get("nodeName") or "",
        ready is None or bool(ready),
        serving is None or bool(serving),
        bool(conditions.get("terminating")),
        frozenset(z["name"] for z in hints.get("forZones") or ()),
        frozenset(n["name"] for n in hints.get("forNodes") or ()),
    )


def _outranks(endpoint: Endpoint, former: Endpoint) -> bool:
    """Of two at one place: a pod may get the address of one that is still terminating."""
    rank, other = ((not e.terminating, e.ready) for e in (endpoint, former))
    return rank > other


_ADDRESS_TYPES: dict[str, Family] = {"IPv4": 4, "IPv6": 6}


def service_of_slice(endpoint_slice: Object) -> str:
    """Key `namespace/name` of the Service that the slice belongs to; empty when it has none."""
    name = meta.labels(endpoint_slice).get(SERVICE_NAME_LABEL, "")
    return meta.join_key(meta.namespace(endpoint_slice), name) if name else ""


def unusable_addresses(slices: Iterable[Object]) -> tuple[str, ...]:
    """Endpoints' addresses, written by hand, that no proxy serves; sorted, each once."""
    found = set()
    for endpoint_slice in slices:
        family = _ADDRESS_TYPES.get(endpoint_slice.get("addressType", "IPv4"))
        if family is None or meta.labels(endpoint_slice).get(_MANAGED_BY_LABEL) == _MADE_FROM_PODS:
            continue
        for raw in endpoint_slice.get("endpoints") or ():
            address = (raw.get("addresses") or [""])[0]
            if not _usable_address(address, family):
                found.add(str(address))
    return tuple(sorted(found))


def endpoints_of(
    slices: Sequence[Object], family: Family = 4
) -> dict[tuple[str, str], tuple[Endpoint, ...]]:
    """Endpoints by (port name, protocol), from all EndpointSlices of one Service, sorted by text.

    The same address in two slices (it moves from one to the other) counts once.
    """
    found: dict[tuple[str, str], dict[tuple[str, int], Endpoint]] = {}
    for endpoint_slice in sorted(slices, key=meta.key):
        if _ADDRESS_TYPES.get(endpoint_slice.get("addressType", "IPv4")) != family:
            continue
        for raw in endpoint_slice.get("endpoints") or ():
            address = _usable_address((raw.get("addresses") or [""])[0], family)
            if not address:
                continue
            for port in endpoint_slice.get("ports") or ():
                if not port.get("port"):
                    continue
                endpoint = _endpoint(raw, address, int(port["port"]))
                group = (port.get("name") or "", (port.get("protocol") or "TCP").lower())
                seen = found.setdefault(group, {})
                former = seen.get((address, endpoint.port))
                if former is None or _outranks(endpoint, former):
                    seen[address, endpoint.port] = endpoint
    return {
        group: tuple(sorted(seen.values(), key=lambda e: e.text)) for group, seen in found.items()
    }
