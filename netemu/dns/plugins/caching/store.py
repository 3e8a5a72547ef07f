"""Replies by what was asked: two halves, as CoreDNS has them, the successes and the denials.

https://coredns.io/plugins/cache/
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netemu.dns import wire
from netemu.dns.message import Query, Reply
from netemu.dns.records import Record

CAPACITY = 9984
MAX_TTL, MAX_NEGATIVE_TTL, MIN_TTL = 3600, 1800, 5

Key = tuple[bytes, int, int, bool, bool]


@dataclass(slots=True)
class Store:
    """One of the two halves: success or denial."""

    kind: str
    capacity: int = CAPACITY
    ttl: int = MAX_TTL
    minimum: int = MIN_TTL
    disabled: tuple[bytes, ...] = ()
    items: dict[Key, Item] = field(default_factory=dict)


@dataclass(slots=True)
class Item:
    """A reply, when it came (the clock's seconds) and for how many seconds it holds."""

    reply: Reply
    stored: float
    ttl: float
    hits: int = 0
    last: float = 0.0
    refreshing: bool = False

    def left(self, now: float) -> float:
        """Seconds until its end; negative past it."""
        return self.stored + self.ttl - now

    def ttl_at(self, now: float) -> int:
        """The TTL that it goes out with."""
        return max(0, int(self.ttl) - int(now - self.stored))


def key_of(query: Query) -> Key:
    """What two queries have in common that get the same reply."""
    do = query.edns is not None and query.edns.do
    return (query.name, query.qtype, query.qclass, do, bool(query.flags & wire.CD))


def aged(records: list[Record], ttl: int, query: Query) -> list[Record]:
    """The records with `ttl`, and the question's name in this client's spelling."""
    asked, lower = query.asked, query.name
    return [
        Record(asked if r.name.lower() == lower else r.name, r.type, ttl, r.rdata, r.cls)
        for r in records
    ]
