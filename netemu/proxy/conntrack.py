"""Which UDP addresses a node serves, for cutting the conntrack entries that serve no longer.

https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/conntrack/cleanup.go
"""

from __future__ import annotations

from collections.abc import Iterable

from netemu.netstate.conntrack import Served
from netemu.proxy.endpoints import Service


def desired_served(gone: Iterable[Service], present: Iterable[Service]) -> Served:
    """What `present` serves; the addresses of `gone` Services count as served by nobody."""
    addresses: dict[tuple[str, int], frozenset[tuple[str, int]]] = {}
    node_ports: dict[int, frozenset[tuple[str, int]]] = {}
    for services, empty in ((gone, True), (present, False)):
        for service in services:
            port = service.port
            if port.protocol != "udp":
                continue
            reachable = () if empty else service.endpoints.reachable
            serving = frozenset((e.address, e.port) for e in reachable)
            for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
                addresses[address, port.port] = serving
            if port.node_port:
                node_ports[port.node_port] = serving
    return Served(addresses, node_ports)
