"""From one Service and its EndpointSlices to what a compiler takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netemu.api import meta
from netemu.api.kind import Object
from netemu.proxy.endpoints import Service, decide
from netemu.proxy.model import NodeView, endpoints_of, service_ports

ZONE_LABEL = "topology.kubernetes.io/zone"


def desired_services(
    service: Object | None, slices: Sequence[Object], node: NodeView
) -> tuple[Service, ...]:
    """Every port of `service` with the endpoints that `node` uses for it."""
    ports = service_ports(service, node.family) if service else ()
    if not ports:
        return ()
    endpoints = endpoints_of(slices, node.family)
    return tuple(
        Service(port, decide(port, endpoints.get((port.port_name, port.protocol), ()), node))
        for port in ports
    )


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


def local_ready_addresses(ports: Sequence[Service]) -> int:
    """How many ready endpoints the node has for a Service: what healthCheckNodePort answers by."""
    return len({e.address for s in ports for e in s.endpoints.local if e.ready})
