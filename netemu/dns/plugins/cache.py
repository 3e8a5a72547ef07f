"""cache: replies of the plugins behind it are kept for their TTL, also the negative ones.

    cache [TTL] [ZONES…] {
        success CAPACITY [TTL] [MINTTL]      (9984, 3600, 5)
        denial CAPACITY [TTL] [MINTTL]       (9984, 1800, 5)
        prefetch AMOUNT [DURATION] [PERCENTAGE%]
        serve_stale [DURATION] [immediate|verify]
        servfail DURATION (5s)      disable success|denial [ZONES…]      keepttl
    }

A reply lives as long as its shortest TTL, a negative one as its SOA's minimum, within MINTTL and
TTL. https://coredns.io/plugins/cache/
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from netemu.aio import spawn
from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import ONCE, SECOND, Query, Reply
from netemu.dns.plugin import (
    Block,
    Failure,
    Plugin,
    duration_of,
    match,
    number_of,
    one_arg,
    zones_of,
)
from netemu.dns.records import Record, soa_minimum

log = logging.getLogger(__name__)

CAPACITY = 9984
MIN_CAPACITY, SHARDS = 1024, 256
"""CoreDNS keeps its entries in so many shards, of four entries at least."""
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
    reply: Reply
    stored: float
    ttl: float
    hits: int = 0
    last: float = 0.0
    refreshing: bool = False

    def left(self, now: float) -> float:
        return self.stored + self.ttl - now

    def ttl_at(self, now: float) -> int:
        return max(0, int(self.ttl) - int(now - self.stored))


@dataclass(slots=True)
class Settings:
    prefetch: int = 0
    prefetch_within: float = 60.0
    prefetch_percent: int = 10
    stale: float = 0.0
    verify: bool = False
    servfail: float = 5.0
    keep_ttl: bool = False


class Cache(Plugin):
    name = "cache"

    def __init__(self, block: Block, zones: tuple[bytes, ...]) -> None:
        self.zones = frozenset(zones)
        self.runtime = block.runtime
        self.settings = Settings()
        self.success = Store("success")
        self.denial = Store("denial", ttl=MAX_NEGATIVE_TTL)
        server = (block.server,)
        registry = block.runtime.registry
        labels = ("server", "type", "zones", "view")
        zone = ",".join(wire.to_text(z) for z in zones)
        self._hit = {s.kind: (*server, s.kind, zone, "") for s in (self.success, self.denial)}
        self._plain = (*server, zone, "")
        self._hits = registry.counter(
            "coredns_cache_hits_total", "The count of cache hits.", labels
        )
        plain = ("server", "zones", "view")
        self._requests = registry.counter(
            "coredns_cache_requests_total", "The count of cache requests.", plain
        )
        self._misses = registry.counter(
            "coredns_cache_misses_total",
            "The count of cache misses. Deprecated, derive misses from cache hits/requests.",
            plain,
        )
        self._evictions = registry.counter(
            "coredns_cache_evictions_total", "The count of cache evictions.", labels
        )
        self._stale = registry.counter(
            "coredns_cache_served_stale_total", "The number of requests served from stale entries.",
            plain,
        )  # fmt: skip
        self._prefetches = registry.counter(
            "coredns_cache_prefetch_total", "The number of times the cache has prefetched an item.",
            plain,
        )  # fmt: skip
        registry.counter(  # stays at 0: what comes here has been checked already
            "coredns_cache_drops_total",
            "The number responses that are not cached, because the reply is malformed.",
            plain,
        )
        entries = registry.gauge(
            "coredns_cache_entries", "The number of elements in the cache.", labels
        )

        def size() -> None:
            for store in (self.success, self.denial):
                entries.set(self._hit[store.kind], len(store.items))

        registry.before_render(size)

    async def serve(self, query: Query) -> Reply:
        if match(self.zones, query) is None or self._idle(query) or query.qtype in wire.TRANSFERS:
            return await self.next.serve(query)
        now = self.runtime.clock.now()
        key = _key(query)
        self._requests.add(self._plain)
        found = self._find(key, now)
        if found is None:
            self._misses.add(self._plain)
            return await self._ask(query, key)
        store, item = found
        if item.left(now) <= 0:
            return await self._serve_stale(query, key, store, item, now)
        self._hits.add(self._hit[store.kind])
        self._prefetch(query, key, item, now)
        return self._reply(query, store, item, item.ttl_at(now))

    def _idle(self, query: Query) -> bool:
        """Whether nothing of this name may be kept (kubeadm's Corefile, for the cluster's zone)."""
        disabled = self.success.disabled
        return match(disabled, query) is not None and (
            disabled == self.denial.disabled or match(self.denial.disabled, query) is not None
        )

    def _find(self, key: Key, now: float) -> tuple[Store, Item] | None:
        for store in (self.denial, self.success):
            item = store.items.get(key)
            if item is None:
                continue
            left = item.left(now)
            if left > 0 or (self.settings.stale and left > -self.settings.stale):
                return store, item
            del store.items[key]
        return None

    def _reply(self, query: Query, store: Store, item: Item, ttl: int) -> Reply:
        def repeated(count: int) -> None:
            self._requests.add(self._plain, count)
            self._hits.add(self._hit[store.kind], count)
            item.hits += count

        kept = item.reply
        if self.settings.keep_ttl and ttl > 0:
            answer, authority, more = list(kept.answer), list(kept.authority), list(kept.additional)
        else:
            answer = _aged(kept.answer, ttl, query)
            authority = _aged(kept.authority, ttl, query)
            more = _aged(kept.additional, ttl, query)
        return replace(
            kept,
            answer=answer,
            authority=authority,
            additional=more,
            authoritative=True,
            keep=SECOND if ttl > 0 and not self.settings.prefetch else ONCE,
            repeated=repeated,
            plugin=self.name,
        )

    async def _ask(self, query: Query, key: Key) -> Reply:
        try:
            reply = await self.next.serve(query)
        except Failure as failure:
            if failure.rcode == wire.SERVFAIL:
                self._keep(query, key, Reply(failure.rcode))
            raise
        return self._keep(query, key, reply)

    def _keep(self, query: Query, key: Key, reply: Reply) -> Reply:
        """Store what may be stored; the reply goes out with the TTL it will have here."""
        store, ttl = self._life(query, reply)
        if store is None or ttl <= 0:
            return reply
        now = self.runtime.clock.now()
        if key not in store.items and len(store.items) >= store.capacity:
            del store.items[next(iter(store.items))]
            self._evictions.add(self._hit[store.kind])
        for other in (self.success, self.denial):
            if reply.rcode != wire.SERVFAIL or other is store:
                other.items.pop(key, None)
        store.items[key] = Item(reply.copy(), now, ttl)
        if not self.settings.keep_ttl:
            reply.answer = _aged(reply.answer, int(ttl), query)
            reply.authority = _aged(reply.authority, int(ttl), query)
            reply.additional = _aged(reply.additional, int(ttl), query)
        reply.keep = ONCE
        return reply

    def _life(self, query: Query, reply: Reply) -> tuple[Store | None, float]:
        """Which half takes a reply, and for how many seconds; none for what must not be kept."""
        if reply.truncated:
            return None, 0
        if reply.rcode == wire.SERVFAIL:
            return self._enabled(self.denial, query), self.settings.servfail
        soa = next((r for r in reply.authority if r.type == wire.SOA), None)
        negative = reply.rcode == wire.NXDOMAIN or (
            reply.rcode == wire.NOERROR and not reply.answer and soa is not None
        )
        if reply.rcode not in (wire.NOERROR, wire.NXDOMAIN) or (negative and soa is None):
            return None, 0
        store = self._enabled(self.denial if negative else self.success, query)
        if store is None:
            return None, 0
        records = [*reply.answer, *reply.authority, *reply.additional]
        life = min((r.ttl for r in records), default=MIN_TTL)
        if negative and soa is not None:
            life = min(life, soa_minimum(soa))
        return store, max(store.minimum, min(life, store.ttl))

    def _enabled(self, store: Store, query: Query) -> Store | None:
        return None if match(store.disabled, query) is not None else store

    async def _serve_stale(
        self, query: Query, key: Key, store: Store, item: Item, now: float
    ) -> Reply:
        """Past its time: ask again and, until that is answered, serve it with TTL 0."""
        if self.settings.verify:
            try:
                fresh = await self._ask(query, key)
                if fresh.rcode != wire.SERVFAIL:
                    return fresh
            except Failure:
                pass
        else:
            self._refresh(query, key, item)
        self._stale.add(self._plain)
        self._hits.add(self._hit[store.kind])
        return self._reply(query, store, item, 0)

    def _prefetch(self, query: Query, key: Key, item: Item, now: float) -> None:
        settings = self.settings
        if not settings.prefetch:
            return
        item.hits = item.hits + 1 if now - item.last <= settings.prefetch_within else 1
        item.last = now
        soon = math.ceil(item.ttl * settings.prefetch_percent / 100)
        if item.hits >= settings.prefetch and item.ttl_at(now) <= soon:
            self._prefetches.add(self._plain)
            self._refresh(query, key, item)

    def _refresh(self, query: Query, key: Key, item: Item) -> None:
        if item.refreshing:
            return
        item.refreshing = True

        async def refresh() -> None:
            try:
                fresh = await self.next.serve(query)
                if fresh.rcode != wire.SERVFAIL:
                    hits = item.hits
                    self._keep(query, key, fresh)
                    for store in (self.success, self.denial):
                        if key in store.items:
                            store.items[key].hits = hits
            except Exception as error:  # raised from a task, it would end the server
                log.debug(f"{wire.to_text(query.name)} could not be refreshed: {error}")
            finally:
                item.refreshing = False

        spawn(self.runtime.group, refresh(), name="dns cache refresh")


def _key(query: Query) -> Key:
    do = query.edns is not None and query.edns.do
    return (query.name, query.qtype, query.qclass, do, bool(query.flags & wire.CD))


def _aged(records: list[Record], ttl: int, query: Query) -> list[Record]:
    """The records with `ttl`, and the question's name in this client's spelling."""
    asked, lower = query.asked, query.name
    return [
        Record(asked if r.name.lower() == lower else r.name, r.type, ttl, r.rdata, r.cls)
        for r in records
    ]


def setup(line: Line, block: Block) -> Plugin:
    words = list(line.args)
    ttl = int(words.pop(0)) if words and words[0].isdigit() else 0
    plugin = Cache(block, zones_of(line, words) or block.zones)
    if ttl:
        plugin.success.ttl = plugin.denial.ttl = ttl
    for option in line.body:
        handler = _OPTIONS.get(option.name)
        if handler is None:
            option.fail(f"is not an option of cache; there are {', '.join(sorted(_OPTIONS))}")
        handler(option, plugin)
    return plugin


def _half(store: str) -> Callable[[Line, Cache], None]:
    def read(line: Line, plugin: Cache) -> None:
        half = plugin.success if store == "success" else plugin.denial
        if not 1 <= len(line.args) <= 3:
            line.fail("takes CAPACITY [TTL] [MINTTL]")
        numbers = [number_of(line, word, 0, 1 << 31) for word in line.args]
        half.capacity = max(MIN_CAPACITY, numbers[0] // SHARDS * SHARDS)
        if len(numbers) > 1:
            half.ttl = numbers[1]
        if len(numbers) > 2:
            half.minimum = numbers[2]

    return read


def _prefetch(line: Line, plugin: Cache) -> None:
    if not 1 <= len(line.args) <= 3:
        line.fail("takes AMOUNT [DURATION] [PERCENTAGE%]")
    settings = plugin.settings
    settings.prefetch = number_of(line, line.args[0], 0, 1 << 31)
    if len(line.args) > 1:
        settings.prefetch_within = duration_of(line, line.args[1])
    if len(line.args) > 2:
        settings.prefetch_percent = number_of(line, line.args[2].removesuffix("%"), 10, 90)


def _serve_stale(line: Line, plugin: Cache) -> None:
    words = list(line.args)
    plugin.settings.stale = 3600.0
    if words and words[-1] in ("immediate", "verify"):
        plugin.settings.verify = words.pop() == "verify"
    if len(words) > 1:
        line.fail("takes [DURATION] [immediate|verify]")
    if words:
        plugin.settings.stale = duration_of(line, words[0])


def _servfail(line: Line, plugin: Cache) -> None:
    plugin.settings.servfail = duration_of(line, one_arg(line))
    if plugin.settings.servfail > 300:
        line.fail("at most 5m may a failure be kept")


def _disable(line: Line, plugin: Cache) -> None:
    if not line.args or line.args[0] not in ("success", "denial"):
        line.fail("needs success or denial, then zones")
    half = plugin.success if line.args[0] == "success" else plugin.denial
    half.disabled += zones_of(line, line.args[1:]) or tuple(plugin.zones)


def _keepttl(line: Line, plugin: Cache) -> None:
    plugin.settings.keep_ttl = True


_OPTIONS: dict[str, Callable[[Line, Cache], None]] = {
    "success": _half("success"),
    "denial": _half("denial"),
    "prefetch": _prefetch,
    "serve_stale": _serve_stale,
    "servfail": _servfail,
    "disable": _disable,
    "keepttl": _keepttl,
}
