"""From one Service and its EndpointSlices to what a compiler takes.

The agents of one process get the same objects, so `SharedDecisions` reads each of them once. What
does not depend on the node is even one value for all nodes, which the flat mode's encoder uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from netemu.api import meta
from netemu.api.kind import Object
from netemu.proxy.endpoints import Service, decide
from netemu.proxy.model import Endpoint, NodeView, ServicePort, endpoints_of, service_ports

ZONE_LABEL = "topology.kubernetes.io/zone"


def desired_services(
    service: Object | None, slices: Sequence[Object], node: NodeView
) -> tuple[Service, ...]:
    """Every port of `service` with the endpoints that `node` uses for it."""
    ports = service_ports(service, node.family) if service else ()
    if not ports:
        return ()
    endpoints = endpoints_of(slices, node.family)
    return tuple(_decided(port, endpoints, node) for port in ports)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What one Service and its slices say; kept while the very same objects come again."""

    service: Object
    slices: tuple[Object, ...]
    ports: tuple[ServicePort, ...]
    endpoints: dict[tuple[str, str], tuple[Endpoint, ...]]
    everywhere: tuple[Service, ...] | None
    """The answer for all nodes, when it is one."""

    def is_of(self, service: Object, slices: Sequence[Object]) -> bool:
        return (
            self.service is service
            and len(self.slices) == len(slices)
            and all(a is b for a, b in zip(self.slices, slices, strict=True))
        )


def _is_everywhere(port: ServicePort, endpoints: Sequence[Endpoint]) -> bool:
    hinted = any(e.zone_hints or e.node_hints for e in endpoints)
    return not port.uses_local_endpoints and not hinted


@dataclass(slots=True)
class SharedDecisions:
    """`desired_services` for several nodes; objects must never be changed in place."""

    _known: dict[tuple[str, int], _Parsed] = field(default_factory=dict)

    def decide(
        self, key: str, service: Object | None, slices: Sequence[Object], node: NodeView
    ) -> tuple[Service, ...]:
        """The answer of `desired_services` for the Service `key`."""
        if service is None:
            self._known.pop((key, node.family), None)
            return ()
        parsed = self._known.get((key, node.family))
        if parsed is None or not parsed.is_of(service, slices):
            parsed = self._known[key, node.family] = self._parse(service, slices, node)
        if parsed.everywhere is not None:
            return parsed.everywhere
        return tuple(_decided(port, parsed.endpoints, node) for port in parsed.ports)

    def _parse(self, service: Object, slices: Sequence[Object], node: NodeView) -> _Parsed:
        ports = service_ports(service, node.family)
        endpoints = endpoints_of(slices, node.family) if ports else {}
        everywhere = None
        if all(_is_everywhere(p, endpoints.get((p.port_name, p.protocol), ())) for p in ports):
            everywhere = tuple(_decided(port, endpoints, node) for port in ports)
        return _Parsed(service, tuple(slices), ports, endpoints, everywhere)


def _decided(
    port: ServicePort, endpoints: dict[tuple[str, str], tuple[Endpoint, ...]], node: NodeView
) -> Service:
    return Service(port, decide(port, endpoints.get((port.port_name, port.protocol), ()), node))


def seen_from(node: Object | None, view: NodeView) -> NodeView:
    """`view` with what the Node object says: its zone and its address of the family."""
    if node is None:
        return view
    listed = (node.get("status") or {}).get("addresses") or ()
    colon = view.family == 6
    own = [a["address"] for a in listed if a.get("type") in ("InternalIP", "ExternalIP")]
    own = [address for address in own if (":" in address) == colon]
    return replace(
        view,
        zone=meta.labels(node).get(ZONE_LABEL, ""),
        address=own[0] if own else view.address,
        addresses=tuple(sorted({*view.addresses, *own})),
    )


def service_ranges(view: NodeView, service_cidrs: Iterable[Object]) -> NodeView:
    """`view` whose Service range is what it had and what the ServiceCIDRs add (KEP-1880).

    Joined where they overlap: an nftables set takes no address twice.
    """
    added = (cidr for obj in service_cidrs for cidr in (obj.get("spec") or {}).get("cidrs") or ())
    known = {ip_network(cidr) for cidr in (*view.service_cidrs, *added)}
    joined: Iterable[IPv4Network | IPv6Network]
    if view.family == 6:
        joined = collapse_addresses(n for n in known if isinstance(n, IPv6Network))
    else:
        joined = collapse_addresses(n for n in known if isinstance(n, IPv4Network))
    return replace(view, service_cidrs=tuple(str(n) for n in joined))


def local_ready_addresses(ports: Sequence[Service]) -> int:
    """How many ready endpoints the node has for a Service: what healthCheckNodePort answers by."""
    return len({e.address for s in ports for e in s.endpoints.local if e.ready})
