"""Numbers from a range that no two objects may share: cluster IPs and node ports.

What is in use follows from the present objects, so nothing has to be repaired after a crash; what a
request takes is reserved until its write is over. Dynamic picks avoid the lower band of the range,
which is left to those who name a number themselves (KEP-3070).
"""

from __future__ import annotations

import ipaddress
import random as random_module
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers low … high; `band` of them, from low, are given only on request."""

    low: int
    high: int
    band: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"

    @property
    def parts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(first, last) of what is given freely, and of the band."""
        start = self.low + self.band if self.low + self.band <= self.high else self.low
        return (start, self.high), (self.low, start - 1)


class Allocator:
    """The numbers of some ranges, which may overlap and may come and go."""

    def __init__(self, *ranges: Range) -> None:
        self.ranges: Sequence[Range] = ranges
        """Where new numbers are taken from, in this order."""
        self._used: dict[int, set[Hashable]] = {}
        self._reserved: dict[int, int] = {}

    def contains(self, number: int) -> bool:
        return any(each.low <= number <= each.high for each in self.ranges)

    def has(self, number: int, owner: Hashable) -> bool:
        """Whether `owner` is known to have it."""
        return owner in self._used.get(number, ())

    def is_free(self, number: int, owner: Hashable = None) -> bool:
        """Whether `owner` may have it: nobody else does."""
        return number not in self._reserved and not (self._used.get(number, set()) - {owner})

    def is_taken(self, number: int, owner: Hashable) -> bool:
        """Whether somebody else has it for good; reservations don't count."""
        return bool(self._used.get(number, set()) - {owner})

    def reserve(self, number: int) -> None:
        self._reserved[number] = self._reserved.get(number, 0) + 1

    def release(self, number: int) -> None:
        left = self._reserved.get(number, 0) - 1
        if left > 0:
            self._reserved[number] = left
        else:
            self._reserved.pop(number, None)

    def pick(self, random: random_module.Random) -> int | None:
        """A free number, reserved; None when all are taken."""
        for low, high in (part for each in self.ranges for part in each.parts):
            found = self._pick(low, high, random)
            if found is not None:
                self.reserve(found)
                return found
        return None

    def _pick(self, low: int, high: int, random: random_module.Random) -> int | None:
        size = high - low + 1
        if size <= 0:
            return None
        offset = random.randrange(size)
        for step in range(min(size, len(self._used) + len(self._reserved) + 1)):
            number = low + (offset + step) % size
            if self.is_free(number):
                return number
        return None

    def assign(self, numbers: Iterable[int], owner: Hashable) -> None:
        """Note that `owner` exists and has these numbers."""
        for number in numbers:
            self._used.setdefault(number, set()).add(owner)

    def free(self, numbers: Iterable[int], owner: Hashable) -> None:
        for number in numbers:
            owners = self._used.get(number)
            if owners is not None:
                owners.discard(owner)
                if not owners:
                    del self._used[number]


def addresses(network: str) -> Range:
    """The addresses of a service subnet, as numbers; both ends stay free."""
    net = ipaddress.ip_network(network)
    low, high = int(net.network_address) + 1, int(net.broadcast_address)
    high -= net.version == 4
    size = high - low + 1
    return Range(low, high, min(max(16, size // 16), 256) if size >= 16 else 0)


def ports(low: int, high: int) -> Range:
    """Node ports (KEP-3668)."""
    size = high - low + 1
    return Range(low, high, min(max(16, size // 32), 128) if size >= 32 else 0)


def number_of(address: str) -> int | None:
    """An address as the number that an allocator knows; None when it is none."""
    try:
        return int(ipaddress.ip_address(address))
    except ValueError:
        return None
