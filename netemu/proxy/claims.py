"""Which Service serves an address and port that several ask for.

The API keeps ClusterIPs and NodePorts apart. An external address anybody may write down: another
Service's, a ClusterIP. Then a ClusterIP is its own Service's, and else the first by key has it:
what iptables does anyway, where the first rule counts. nftables, which takes a key only once, would
refuse the rules of everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netemu.proxy.endpoints import Service
from netemu.proxy.model import ServicePort

Place = tuple[str, str, int]
"""Address, protocol, port."""
Services = Mapping[str, tuple[Service, ...]]


class Claims:
    """Who asks for what, kept up to date change by change."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[Service, ...]] = {}
        """Services as they were decided, by key."""
        self.lost: dict[str, tuple[str, ...]] = {}
        """By key: what another Service has, and which one."""
        self._cluster: dict[Place, str] = {}
        self._external: dict[Place, set[str]] = {}

    def settle(self, fresh: Services) -> dict[str, tuple[Service, ...]]:
        """`fresh` (an empty tuple: gone) without what others have, and those whom that changes."""
        touched: set[Place] = set()
        for key, services in fresh.items():
            touched |= self._forget(key)
            touched |= self._note(key, services)
        others = {key for place in touched for key in self._external.get(place, ())}
        affected = [*(key for key in sorted(others) if key not in fresh), *fresh]
        return {key: self._served(key) for key in affected}

    def _forget(self, key: str) -> set[Place]:
        places: set[Place] = set()
        for service in self.asked.pop(key, ()):
            for place in _external(service.port):
                claimants = self._external.get(place, set())
                claimants.discard(key)
                if not claimants:
                    self._external.pop(place, None)
                places.add(place)
            cluster = _cluster(service.port)
            if self._cluster.get(cluster) == key:
                del self._cluster[cluster]
            places.add(cluster)
        return places

    def _note(self, key: str, services: tuple[Service, ...]) -> set[Place]:
        places: set[Place] = set()
        if services:
            self.asked[key] = services
        for service in services:
            for place in _external(service.port):
                self._external.setdefault(place, set()).add(key)
                places.add(place)
            self._cluster[_cluster(service.port)] = key
            places.add(_cluster(service.port))
        return places

    def _served(self, key: str) -> tuple[Service, ...]:
        asked = self.asked.get(key, ())
        found = tuple(self._left(key, service) for service in asked)
        lost = (self._owner(p) for s in asked for p in _external(s.port))
        told = tuple(f"{_shown(place)} (Service {owner})" for place, owner in lost if owner != key)
        if told:
            self.lost[key] = tuple(dict.fromkeys(told))
        else:
            self.lost.pop(key, None)
        return found

    def _owner(self, place: Place) -> tuple[Place, str]:
        return place, self._cluster.get(place) or min(self._external[place])

    def _left(self, key: str, service: Service) -> Service:
        """`service` with the addresses that it may serve, the very same if that is all."""
        port = service.port
        if not (port.external_ips or port.load_balancer_ips):
            return service

        def is_ours(address: str) -> bool:
            place = address, port.protocol, port.port
            return place not in self._cluster and self._owner(place)[1] == key

        balanced = tuple(a for a in port.load_balancer_ips if is_ours(a))
        # Once is enough; the load balancer's way has the source ranges.
        external = tuple(a for a in port.external_ips if is_ours(a) and a not in balanced)
        if balanced == port.load_balancer_ips and external == port.external_ips:
            return service
        left = replace(port, external_ips=external, load_balancer_ips=balanced)
        return replace(service, port=left)


def _cluster(port: ServicePort) -> Place:
    return port.cluster_ip, port.protocol, port.port


def _external(port: ServicePort) -> list[Place]:
    addresses = (*port.external_ips, *port.load_balancer_ips)
    return [(address, port.protocol, port.port) for address in addresses]


def _shown(place: Place) -> str:
    address, protocol, port = place
    where = f"[{address}]" if ":" in address else address
    return f"{where}:{port}/{protocol.upper()}"
