"""kubernetes: names of Services, endpoints and pods; see `kube/lookup.py` for what a name means.

    kubernetes [ZONES…] {
        pods disabled|insecure|verified      endpoint_pod_names      ttl 0..3600
        namespaces NS…                       labels EXPR             namespace_labels EXPR
        noendpoints                          ignore empty_service    startup_timeout DURATION
        multicluster ZONES…                  (zones that hold ServiceImports)
        fallthrough [ZONES…]                 endpoint, kubeconfig, tls: accepted, the API is given
    }

https://coredns.io/plugins/kubernetes/, the answers as of CoreDNS 1.13
"""

from __future__ import annotations

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.kube import answers, options
from netemu.dns.kube.lookup import (
    VERIFIED,
    Asked,
    Item,
    View,
    find,
    parse,
    pod_address,
    reverse,
    reverse_address,
)
from netemu.dns.kube.store import SOA, Wanted
from netemu.dns.kube.transfer import contents
from netemu.dns.message import LASTING, ONCE, Query, Reply
from netemu.dns.plugin import Block, Plugin, match, zones_of
from netemu.dns.records import Record, address, cname, txt

VERSION = b"1.1.0"
VERSION_TTL = 28800
NEGATIVE_TTL = 300
"""The SOA in a negative answer lives at most this long."""
MAX_CHAIN = 8
"""ExternalNames that lead to each other inside the zone."""


class Kubernetes(Plugin):
    name = "kubernetes"

    def __init__(
        self,
        block: Block,
        zones: tuple[bytes, ...],
        said: options.Options,
        view: View,
        imports: View | None,
    ) -> None:
        self.zones = frozenset(zones)
        forward = [z for z in zones if not z.endswith(b"\x04arpa\0")]
        self.primary = (forward or list(zones))[0]
        self.runtime = block.runtime
        self.block = block
        self.ttl, self.fall, self.patience = said.ttl, said.fall, said.patience
        self.view, self.imports = view, imports
        self.import_zones = said.import_zones

    def ready(self) -> bool:
        views = (self.view, self.imports) if self.imports is not None else (self.view,)
        return all(view.store.synced for view in views) and self.runtime.announced()

    def transfer(self, zone: bytes) -> list[Record] | None:
        if zone not in self.zones or zone.endswith(b"\x04arpa\0"):
            return None
        return contents(self._view(zone), zone, self.ttl, self._soa(zone, self.ttl), self._ns(zone))

    def _view(self, zone: bytes) -> View:
        """How to look at a zone."""
        if self.imports is not None and zone.lower() in self.import_zones:
            return self.imports
        return self.view

    def _items(self, zone: bytes, asked: Asked | None) -> list[Item] | None:
        return find(self._view(zone), asked) if asked else None

    async def serve(self, query: Query) -> Reply:
        start = match(self.zones, query)
        if start is None:
            return await self.next.serve(query)
        zone = query.asked[start:]
        if query.qtype in wire.TRANSFERS:
            return Reply(wire.REFUSED, keep=LASTING, plugin=self.name)
        asked = self._asked(query, start)
        reply = Reply(authoritative=True, keep=LASTING, plugin=self.name)
        tags: list[object] = [asked.key] if asked else []
        if asked and asked.branch == "pod":
            tags.append(pod_address(asked.service))
        found = await self._records(query, zone, start, asked, reply, tags)
        if not found and self.fall.through(query):
            return await self.next.serve(query)
        if not found:
            synced = self._view(zone).store.synced
            reply.rcode = wire.NXDOMAIN if synced else wire.SERVFAIL
            reply.keep = LASTING if synced else ONCE
        if not reply.answer:
            reply.authority.append(self._soa(zone, min(self.ttl, NEGATIVE_TTL)))
        if reply.authority or (reply.answer and reply.answer[0].type == wire.SOA):
            tags.append(SOA)
        reply.tags = tuple(tags)
        return reply

    async def _records(
        self,
        query: Query,
        zone: bytes,
        start: int,
        asked: Asked | None,
        reply: Reply,
        tags: list[object],
    ) -> bool:
        """Fill `reply` in; False when the name does not exist."""
        qtype, apex = query.qtype, start == 0
        if qtype in (wire.A, wire.AAAA):
            if query.name[:start] == b"\x02ns\x03dns":
                self._name_servers(query, zone, reply)
                return True
            items = self._items(zone, asked)
            return await self._addresses(query, zone, items, reply, tags, ())
        if qtype == wire.SOA:
            if apex:
                reply.answer.append(self._soa(zone, self.ttl))
            return True
        if qtype == wire.NS and apex:
            self._name_servers(query, zone, reply)
            return True
        if qtype == wire.TXT:
            return self._text(query, zone, start, asked, reply)
        if qtype == wire.PTR:
            return self._pointers(query, zone, asked, reply, tags)
        items = self._items(zone, asked)
        if items is None:
            return False
        if qtype == wire.SRV:
            found, glue = answers.services(query, zone, self.ttl, items)
            reply.answer += found
            reply.additional += glue
        elif qtype == wire.CNAME and items and items[0].target:
            reply.answer.append(cname(query.asked, self.ttl, items[0].target))
        return True

    def _asked(self, query: Query, start: int) -> Asked | None:
        labels = wire.labels(query.name[:start] + wire.ROOT)
        imports = self.imports is not None and query.name[start:] in self.import_zones
        return parse([label.decode("latin-1") for label in labels], imports=imports)

    async def _addresses(
        self,
        query: Query,
        zone: bytes,
        items: list[Item] | None,
        reply: Reply,
        tags: list[object],
        chain: tuple[bytes, ...],
    ) -> bool:
        if items is None:
            return False
        found = (item.address for item in items)
        reply.answer += answers.addresses(query, self.ttl, found)
        for item in items:
            if item.target:
                await self._follow(query, zone, item.target, reply, tags, chain)
        return True

    async def _follow(
        self,
        query: Query,
        zone: bytes,
        target: bytes,
        reply: Reply,
        tags: list[object],
        chain: tuple[bytes, ...],
    ) -> None:
        """An ExternalName: the CNAME, and what its target has, from here or from upstream."""
        lower = target.lower()
        if lower == query.name or lower in chain or len(chain) >= MAX_CHAIN:
            return
        link = cname(query.asked, self.ttl, target)
        inner = query.ask(target, query.qtype)
        start = match((zone.lower(),), inner)
        if start is not None:
            asked = self._asked(inner, start)
            items = self._items(zone, asked)
            tags.append(asked.key if asked else "")
            ahead = Reply(keep=reply.keep)
            await self._addresses(inner, zone, items, ahead, tags, (*chain, query.name))
            if ahead.answer:
                reply.answer += [link, *ahead.answer]
            reply.keep = ahead.keep
            return
        reply.keep = ONCE
        further = await self.runtime.resolve(inner, self.block)
        reply.answer += [link, *further.answer]
        reply.truncated = reply.truncated or further.truncated

    def _pointers(
        self, query: Query, zone: bytes, asked: Asked | None, reply: Reply, tags: list[object]
    ) -> bool:
        labels = [label.decode("latin-1") for label in query.labels]
        packed = reverse_address(labels)
        if packed is None:
            return self._items(zone, asked) is not None
        tags.append(packed)
        names = reverse(self.view, packed)
        reply.answer += answers.pointers(query, self.primary, self.ttl, names)
        return bool(reply.answer)

    def _text(
        self, query: Query, zone: bytes, start: int, asked: Asked | None, reply: Reply
    ) -> bool:
        """TXT knows one name, `dns-version`; the zone's own name is not one (a quirk)."""
        if query.name[:start] == b"\x0bdns-version":
            reply.answer.append(txt(query.asked, VERSION_TTL, VERSION))
            return True
        return bool(start) and self._items(zone, asked) is not None

    def _name_servers(self, query: Query, zone: bytes, reply: Reply) -> None:
        """NS with glue, or what glue there is for one family."""
        reply.keep = ONCE
        found = self._ns(zone)
        if query.qtype == wire.NS:
            for target in dict.fromkeys(target for target, _ in found):
                reply.answer.append(Record(query.asked, wire.NS, self.ttl, target))
            reply.additional += [address(target, self.ttl, packed) for target, packed in found]
            return
        reply.answer += answers.addresses(query, self.ttl, (packed for _, packed in found))

    def _ns(self, zone: bytes) -> list[tuple[bytes, bytes]]:
        return answers.name_servers(self.view.store, zone, self.runtime.local_addresses())

    def _soa(self, zone: bytes, ttl: int) -> Record:
        return answers.authority(self._view(zone).store, zone, ttl, self.ttl)


def setup(line: Line, block: Block) -> Plugin:
    zones = zones_of(line, line.args) or block.zones
    said = options.read(line)
    namespaces = frozenset(said.namespaces)
    imports = None
    if said.import_zones:
        if not set(said.import_zones) <= set(zones):
            line.fail("a zone of multicluster must be a zone of the plugin as well")
        imports = View(store=block.runtime.store(Wanted(imports=True)), namespaces=namespaces)
    wanted = Wanted(said.pods == VERIFIED, said.pod_names, said.labels, said.namespace_labels)
    view = View(
        store=block.runtime.store(wanted),
        pods=said.pods,
        namespaces=namespaces,
        ignore_empty=said.ignore_empty,
        endpoints=said.endpoints,
    )
    return Kubernetes(block, zones, said, view, imports)
