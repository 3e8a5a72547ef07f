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
from dataclasses import replace

from netemu.aio import spawn
from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import ONCE, SECOND, Query, Reply
from netemu.dns.plugin import Block, Failure, Plugin, match
from netemu.dns.plugins.caching.settings import Settings, read
from netemu.dns.plugins.caching.store import MIN_TTL, Item, Key, Store, aged, key_of
from netemu.dns.records import soa_minimum

log = logging.getLogger(__name__)


class Cache(Plugin):
    name = "cache"

    def __init__(self, block: Block, settings: Settings) -> None:
        self.zones = frozenset(settings.zones)
        self.runtime = block.runtime
        self.settings, self.success, self.denial = settings, settings.success, settings.denial
        server = (block.server,)
        registry = block.runtime.registry
        labels = ("server", "type", "zones", "view")
        zone = ",".join(wire.to_text(z) for z in settings.zones)
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
        key = key_of(query)
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
            answer = aged(kept.answer, ttl, query)
            authority = aged(kept.authority, ttl, query)
            more = aged(kept.additional, ttl, query)
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
            reply.answer = aged(reply.answer, int(ttl), query)
            reply.authority = aged(reply.authority, int(ttl), query)
            reply.additional = aged(reply.additional, int(ttl), query)
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


def setup(line: Line, block: Block) -> Plugin:
    return Cache(block, read(line, block.zones))
