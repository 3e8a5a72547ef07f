"""Everything that a zone of the cluster holds, for zone transfers: Services, endpoints, aliases.

As CoreDNS has it: SRV records at a Service's own name for each port, and at `_port._proto` for the
named ones. https://github.com/coredns/coredns/blob/master/plugin/kubernetes/xfr.go
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netemu.dns import wire
from netemu.dns.kube.lookup import View, labels_of
from netemu.dns.kube.objects import CLUSTER_IP, EXTERNAL, NO_PORT, Port, Service
from netemu.dns.records import Record, address, cname, srv
from netemu.dns.source import problems


def contents(
    view: View, zone: bytes, ttl: int, soa: Record, servers: Sequence[tuple[bytes, bytes]]
) -> list[Record]:
    """The zone from SOA to SOA; `servers` are (name, address) of its name servers."""
    found = dict.fromkeys([Record(zone, wire.NS, ttl, name) for name, _ in servers])
    found |= dict.fromkeys([address(name, ttl, packed) for name, packed in servers])
    for key in sorted(view.store.services):
        service = view.store.services[key]
        if view.exposed(key.partition("/")[0]):
            found |= dict.fromkeys(_service(view, service, zone, ttl))
    return [soa, *found, soa]


def _service(view: View, service: Service, zone: bytes, ttl: int) -> Iterator[Record]:
    base = labels_of(service)
    name = name_of(base, zone)
    if name is None:
        return
    if service.kind == EXTERNAL:
        yield cname(name, ttl, service.target)
        return
    if service.kind == CLUSTER_IP:
        for packed in service.addresses:
            yield address(name, ttl, packed)
        for port in service.ports:
            if port.number != NO_PORT:
                yield srv(name, ttl, 100, port.number, name)
                yield from _named(port, base, zone, ttl, 100, name)
        return
    for slice_ in view.store.by_service.get(service.key) if view.endpoints else ():
        weight = max(1, 100 // len(slice_.endpoints)) if slice_.endpoints else 0
        for endpoint in slice_.endpoints:
            yield address(name, ttl, endpoint.address)
            own = name_of((*endpoint.label.split("."), *base), zone)
            if own is not None:
                yield address(own, ttl, endpoint.address)
                for port in slice_.ports:
                    yield from _named(port, base, zone, ttl, weight, own)


def _named(
    port: Port, base: Sequence[str], zone: bytes, ttl: int, weight: int, target: bytes
) -> Iterator[Record]:
    """The SRV record of a port that has a name."""
    if port.name and port.number != NO_PORT:
        owner = name_of((f"_{port.name.lower()}", f"_{port.protocol}", *base), zone)
        if owner is not None:
            yield srv(owner, ttl, weight, port.number, target)


def name_of(labels: Sequence[str], zone: bytes) -> bytes | None:
    """Labels in front of the zone; None, and told once, when that is too long for a name."""
    try:
        return wire.join((label.encode() for label in labels), zone)
    except ValueError as error:
        problems.tell((f"{'.'.join(labels)}.{wire.to_text(zone).lower()}: {error}",))
        return None
