"""The underlay's address plan: which network a cluster gets, and who has which address in it.

The first address is the machine's own end, the last one the fabric's router; nodes and outside
hosts take the next free ones from the second on. The IPv6 network, when there is one, spells the
IPv4 one: 172.30.4.0/24 -> fd00:172:30:4::/64.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Network, ip_address, ip_network

from netemu.errors import ConfigError

IPV6_LENGTH = 64


def choose(taken: Iterable[str]) -> str:
    """The first free 172.30.N.0/24 beside `taken` networks."""
    networks = [network for network in map(ip_network, taken) if isinstance(network, IPv4Network)]
    for number in range(256):
        candidate = IPv4Network(f"172.30.{number}.0/24")
        if not any(candidate.overlaps(network) for network in networks if network.prefixlen):
            return str(candidate)
    raise ConfigError(
        ["no free 172.30.N.0/24 for the node network"], hint="set nodeSubnet to a free network"
    )


def machine_address(subnet: str) -> str:
    """The machine's own end: the first address."""
    return str(ip_network(subnet)[1])


def router_address(subnet: str) -> str:
    """The fabric's router: the last address."""
    return str(ip_network(subnet)[-2])


def next_address(subnet: str, used: Collection[str]) -> str:
    """The next free address for a node or host."""
    for address in _assignable(subnet):
        if address not in used:
            return address
    raise ConfigError(
        [f"the node network {subnet} has no free address"], hint="choose a larger nodeSubnet"
    )


def _assignable(subnet: str) -> Iterator[str]:
    network = ip_network(subnet)
    for offset in range(2, network.num_addresses - 2):
        yield str(network[offset])


def contains(subnet: str, address: str) -> bool:
    return ip_address(address) in ip_network(subnet)


def ipv6_network(subnet: str) -> str:
    groups = str(ip_network(subnet).network_address).split(".")
    return f"fd00:{':'.join(groups[:3])}::/{IPV6_LENGTH}"


def ipv6_address(subnet: str, address: str) -> str:
    """The IPv6 address that goes with the IPv4 `address`: the same host number."""
    number = int(ip_address(address)) - int(ip_network(subnet).network_address)
    host = number if 0 < number < ip_network(subnet).num_addresses else int(ip_address(address))
    return str(ip_network(ipv6_network(subnet))[host])
