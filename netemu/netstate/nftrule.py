"""An nftables rule as a small tree: what the tracer walks and the encoder encodes.

It has the expressions and statements of the proxy's tables, and no others.
https://www.netfilter.org/projects/nftables/manpage.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """saddr, daddr, l4proto or dport."""

    name: str


@dataclass(frozen=True, slots=True)
class Numgen:
    """A random number below `modulus`."""

    modulus: int


@dataclass(frozen=True, slots=True)
class AddressType:
    """`fib saddr type` or `fib daddr type`."""

    side: str


Primary = Field | Numgen | AddressType
Value = tuple[Primary, ...]
"""A concatenation; mostly of one."""

Lookup = str | Mapping[str, str]
"""A map by name, or written out."""


@dataclass(frozen=True, slots=True)
class Match:
    """`value` equals one of `wanted` (addresses, networks, words), or is in the set `name`."""

    value: Value
    wanted: tuple[str, ...] = ()
    name: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class VerdictMap:
    value: Value
    lookup: Lookup


@dataclass(frozen=True, slots=True)
class DnatTo:
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class DnatMap:
    """`dnat ip to VALUE map MAP`, whose data is `address . port`."""

    value: Value
    lookup: Lookup


@dataclass(frozen=True, slots=True)
class Update:
    """`update @name { value }`."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Conntrack:
    """`ct state new` or `ct status dnat`."""

    what: str
    wanted: str


@dataclass(frozen=True, slots=True)
class MarkTest:
    mask: int
    wanted: int
    negated: bool


@dataclass(frozen=True, slots=True)
class MarkSet:
    """The mark gets `bits` or-ed (`|`) or xor-ed (`^`) in."""

    operator: str
    bits: int


@dataclass(frozen=True, slots=True)
class Masquerade:
    fully_random: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """accept, drop, reject, return; jump and goto with a chain."""

    word: str
    chain: str = ""


Operation = (
    Match
    | VerdictMap
    | DnatTo
    | DnatMap
    | Update
    | Conntrack
    | MarkTest
    | MarkSet
    | Masquerade
    | Verdict
)


@dataclass(frozen=True, slots=True)
class Rule:
    operations: tuple[Operation, ...]
    comment: str = ""
