"""The addresses of IPVS's virtual servers on the device kube-ipvs0. Blocking: helper threads.

The device carries nothing: an address of the machine's own leads packets to the input hook, where
IPVS takes them. https://github.com/kubernetes/kubernetes/blob/release-1.33/pkg/proxy/ipvs/README.md
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Iterator

from netemu.netstate.address import SAMPLES, around, packed
from netemu.node import netns
from netemu.node.inet_messages import add_placeholder, delete_address
from netemu.node.link_messages import new_dummy
from netemu.node.network_observe import observe_addresses, observe_links


class Placeholders:
    """The addresses of one IP family on `device` in the namespace at `path`."""

    def __init__(self, path: str, device: str, family: int) -> None:
        self._links = netns.netlink_in(path)
        self._device, self._family = device, family
        self._index = 0

    def close(self) -> None:
        self._links.close()

    def prepare(self) -> None:
        """Make the device, or take it as it is, with the addresses that it has."""
        self._links.request([new_dummy(self._device)], ignore=(errno.EEXIST,))
        self._index = observe_links(self._links)[self._device].index

    def observe(self) -> set[str]:
        """The addresses that it has."""
        found = observe_addresses(self._links, {self._index: self._device})
        addresses = (address.cidr.partition("/")[0] for address in found)
        return {a for a in addresses if (":" in a) == (self._family == 6)}

    def bind(self, added: Collection[str], gone: Collection[str] = ()) -> None:
        """What is there, or not there, already is fine."""
        size = 128 if self._family == 6 else 32
        old = [delete_address(self._index, f"{a}/{size}") for a in sorted(gone)]
        self._links.request([*self.encode(added)], ignore=(errno.EEXIST,))
        self._links.request(old, ignore=(errno.EADDRNOTAVAIL,))

    def encode(self, addresses: Collection[str]) -> Iterator[bytes]:
        """The messages that bind `addresses`; thousands, maybe, which differ in these only."""
        sample = SAMPLES[self._family]
        hole = packed(sample)
        start, middle, end = around(add_placeholder(self._index, sample), hole, hole)
        for raw in map(packed, sorted(addresses)):
            yield start + raw + middle + raw + end

    def takes(self, blobs: Iterable[bytes]) -> bool:
        """Send messages that `encode` made; whether the kernel took all."""
        return self._links.takes(blobs)
