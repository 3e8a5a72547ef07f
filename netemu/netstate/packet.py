"""The first packet of a connection, and the node that it meets."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """Addresses in canonical text form; `state` is conntrack's: NEW, ESTABLISHED, INVALID …"""

    source: str
    destination: str
    protocol: str = "tcp"
    destination_port: int = 0
    source_port: int = 40000
    state: str = "NEW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What of a node's own state decides about packets, rules aside."""

    addresses: frozenset[str]
    """Its own addresses, loopback (127.0.0.0/8, ::1) left out: that is always local."""
    placeholders: frozenset[str] = field(default_factory=frozenset)
    """Service addresses that only IPVS holds for it (kube-ipvs0): local as well."""

    def is_local(self, address: str) -> bool:
        if address in self.addresses or address in self.placeholders:
            return True
        return address == "::1" or is_in(address, "127.0.0.0/8")


@lru_cache(maxsize=10_000)
def _network(cidr: str) -> IPv4Network | IPv6Network:
    return ip_network(cidr, strict=False)


@lru_cache(maxsize=50_000)
def is_in(address: str, cidr: str) -> bool:
    """Whether `address` lies in `cidr` (or equals it, when it is an address)."""
    network = _network(cidr)
    parsed = ip_address(address)
    return parsed.version == network.version and parsed in network
