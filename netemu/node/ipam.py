"""Pod addresses of one node, given out as the host-local IPAM plugin does.

Round robin from the last one given, so an address that was just freed is the last to return; .1 is
the gateway; network and broadcast address are never given.
https://www.cni.dev/plugins/current/ipam/host-local/
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from netemu.errors import DataplaneError


class HostLocal:
    """Addresses of one subnet. `owner` is any name; one address an owner."""

    def __init__(self, node: str, subnet: str) -> None:
        network = ip_network(subnet)
        self._node = node
        self._base = int(network.network_address)
        self._make = type(network.network_address)
        reserved_at_end = 1 if isinstance(network, IPv4Network) else 0
        self._last = min(network.num_addresses - 1 - reserved_at_end, 1 << 24)
        self._next = 2
        self._owner_of: dict[int, str] = {}
        self._address_of: dict[str, int] = {}
        self.subnet = str(network)
        self.prefix_length = network.prefixlen
        self.gateway = self._text(1)

    @property
    def free(self) -> int:
        return self._last - 1 - len(self._owner_of)

    def allocate(self, owner: str) -> str:
        """The next free address; the one it has already, if `owner` has one."""
        if owner in self._address_of:
            return self._text(self._address_of[owner])
        if self.free <= 0:
            raise DataplaneError(
                self._node,
                f"allocate for pod {owner}",
                stderr="no IP addresses available in range set: "
                f"{self._text(1)}-{self._text(self._last)}",
                hint="a smaller nodeCIDRMask gives each node more addresses",
            )
        while self._next in self._owner_of:
            self._step()
        offset = self._next
        self._step()
        self._own(owner, offset)
        return self._text(offset)

    def reserve(self, owner: str, address: str) -> None:
        """Note an address that `owner` has from before."""
        offset = int(self._make(address)) - self._base
        self._own(owner, offset)
        self._next = offset
        self._step()

    def release(self, owner: str) -> None:
        """Take the address back; an unknown owner is fine."""
        offset = self._address_of.pop(owner, None)
        if offset is not None:
            del self._owner_of[offset]

    def _own(self, owner: str, offset: int) -> None:
        self._owner_of[offset] = owner
        self._address_of[owner] = offset

    def _step(self) -> None:
        self._next = 2 if self._next >= self._last else self._next + 1

    def _text(self, offset: int) -> str:
        return str(self._make(self._base + offset))
