"""Which UDP addresses a node serves, for cutting the conntrack entries that serve no longer.

https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/conntrack/cleanup.go
"""

from __future__ import annotations

from collections.abc import Iterable

from netemu.netstate.conntrack import Place, Served
from netemu.proxy.endpoints import Service


def served_by(services: Iterable[Service]) -> Served:
    """What `services` serve over UDP. Of several at one place, all their endpoints do."""
    addresses: dict[Place, frozenset[Place]] = {}
    node_ports: dict[int, frozenset[Place]] = {}
    for service in services:
        port = service.port
        if port.protocol != "udp":
            continue
        endpoints = (*service.endpoints.reachable, *service.endpoints.others)
        serving = frozenset((e.address, e.port) for e in endpoints)
        for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            place = address, port.port
            addresses[place] = addresses.get(place, frozenset()) | serving
        if port.node_port:
            node_ports[port.node_port] = node_ports.get(port.node_port, frozenset()) | serving
    return Served(addresses, node_ports)


def with_places_of(now: Served, former: Served) -> Served:
    """`now`, and the places that only `former` had: nobody serves them any more."""
    nobody: frozenset[Place] = frozenset()
    return Served(
        {**dict.fromkeys(former.addresses, nobody), **now.addresses},
        {**dict.fromkeys(former.node_ports, nobody), **now.node_ports},
    )
