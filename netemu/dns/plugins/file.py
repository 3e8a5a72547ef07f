"""file: zones from zone files (RFC 1035 §5), served with authority.

    file DBFILE [ZONES…] {
        reload DURATION (1m; 0 off)      fallthrough [ZONES…]
    }

Wildcards, delegations with glue, CNAMEs (those out of the zone are asked as a client would),
empty non-terminals (RFC 1034 §4.3.2, RFC 4592). A file is read again when its SOA serial changed. https://coredns.io/plugins/file/
"""

from __future__ import annotations

import logging
from pathlib import Path

from netemu.dns import names, presentation, wire
from netemu.dns.corefile import Line
from netemu.dns.message import ONCE, SECOND, Query, Reply
from netemu.dns.plugin import (
    Block,
    Fall,
    Plugin,
    duration_of,
    fall_of,
    match,
    one_arg,
    zones_of,
)
from netemu.dns.records import Record

log = logging.getLogger(__name__)

MAX_CHAIN = 8
_GLUE = frozenset({wire.NS, wire.MX, wire.SRV})


class Zone:
    """One zone: name → type → records, all names lower-cased in the index."""

    def __init__(self, origin: bytes, records: list[Record]) -> None:
        self.origin = origin
        self.nodes: dict[bytes, dict[int, list[Record]]] = {}
        for record in records:
            owner = record.name.lower()
            if not wire.is_below(owner, origin):
                log.warning(f"{wire.to_text(owner)} is not in {wire.to_text(origin)}; left out")
                continue
            self.nodes.setdefault(owner, {}).setdefault(record.type, []).append(record)
            while owner != origin:  # empty non-terminals exist
                owner = owner[owner[0] + 1 :]
                self.nodes.setdefault(owner, {})
        soa = self.nodes.get(origin, {}).get(wire.SOA)
        if not soa:
            raise ValueError(f"there is no SOA record of {wire.to_text(origin)}")
        self.soa = soa[0]
        self.servers = self.nodes[origin].get(wire.NS, [])

    def answer(self, query: Query, reply: Reply) -> bytes | None:
        """Fill the reply in, following CNAMEs; the name that they lead to when it is outside."""
        name, asked = query.name, query.asked
        for _ in range(MAX_CHAIN):
            cut = self._delegation(name)
            if cut is not None:
                self._refer(cut, reply)
                return None
            node = self._find(name)
            if node is None:
                reply.rcode = wire.NXDOMAIN
                break
            alias = node.get(wire.CNAME)
            if not alias or query.qtype in (wire.CNAME, wire.ANY):
                found = node.get(query.qtype, [])
                reply.answer += [record._replace(name=asked) for record in found]
                self._add_glue(found, reply)
                break
            reply.answer.append(alias[0]._replace(name=asked))
            target = names.target(alias[0]) or wire.ROOT
            if not wire.is_below(target.lower(), self.origin):
                reply.authority += self.servers
                return target
            name, asked = target.lower(), target
        if not reply.answer or reply.rcode == wire.NXDOMAIN:
            reply.authority.append(self.soa)
        elif reply.answer[0].type != wire.NS or query.name != self.origin:
            reply.authority += self.servers
        return None

    def records(self) -> list[Record]:
        """The whole zone, the SOA first and last."""
        rest = [
            record
            for node in self.nodes.values()
            for records in node.values()
            for record in records
            if record.type != wire.SOA
        ]
        return [self.soa, *rest, self.soa]

    def _find(self, name: bytes) -> dict[int, list[Record]] | None:
        """The node, or the wildcard at its closest encloser."""
        node = self.nodes.get(name)
        while node is None and name != self.origin:
            name = name[name[0] + 1 :]
            if name in self.nodes:
                return self.nodes.get(b"\x01*" + name)
        return node

    def _delegation(self, name: bytes) -> list[Record] | None:
        """NS records of the highest cut between the origin and `name`."""
        cut = None
        while name != self.origin:
            cut = self.nodes.get(name, {}).get(wire.NS) or cut
            name = name[name[0] + 1 :]
        return cut

    def _refer(self, cut: list[Record], reply: Reply) -> None:
        reply.authoritative = bool(reply.answer)
        reply.authority += cut
        self._add_glue(cut, reply)

    def _add_glue(self, records: list[Record], reply: Reply) -> None:
        for record in records:
            target = names.target(record) if record.type in _GLUE else None
            node = self.nodes.get(target.lower(), {}) if target is not None else {}
            reply.additional += node.get(wire.A, []) + node.get(wire.AAAA, [])


class File(Plugin):
    name = "file"

    def __init__(self, block: Block, path: Path, zones: tuple[bytes, ...]) -> None:
        self.block = block
        self.runtime = block.runtime
        self.path = path
        self.origins = zones
        self.zones: dict[bytes, Zone] = {}
        self.reload = 60.0
        self.fall = Fall()
        self._stamp = (0, 0)

    async def serve(self, query: Query) -> Reply:
        start = match(self.origins, query)
        if start is None:
            return await self.next.serve(query)
        if query.qtype in wire.TRANSFERS:
            return Reply(wire.REFUSED, plugin=self.name)
        reply = Reply(authoritative=True, keep=SECOND, plugin=self.name)
        outside = self.zones[query.name[start:]].answer(query, reply)
        if reply.rcode == wire.NXDOMAIN and self.fall.through(query):
            return await self.next.serve(query)
        if outside is not None:
            await self._follow(query.ask(outside, query.qtype), reply)
        return reply

    async def _follow(self, query: Query, reply: Reply) -> None:
        """What a CNAME out of the zone leads to; its rcode is the reply's (RFC 6604 §3)."""
        reply.keep = ONCE
        further = await self.runtime.resolve(query, self.block)
        reply.answer += further.answer
        reply.truncated = reply.truncated or further.truncated
        if further.rcode in (wire.NXDOMAIN, wire.SERVFAIL):
            reply.rcode = further.rcode

    def transfer(self, zone: bytes) -> list[Record] | None:
        held = self.zones.get(zone)
        return None if held is None else held.records()

    def read(self) -> None:
        """Read the file when it changed; OSError, ValueError when it cannot be used."""
        stat = self.path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return
        text = self.path.read_text()
        self.zones = {
            origin: Zone(origin, presentation.parse(text, origin=wire.to_text(origin)))
            for origin in self.origins
        }
        self._stamp = stamp

    async def run(self) -> None:
        while self.reload > 0:
            await self.runtime.clock.sleep(self.reload)
            try:
                self.read()
            except (OSError, ValueError) as error:
                log.error(f"{self.path}: {error}; the zone is served as it was")


def setup(line: Line, block: Block) -> Plugin:
    if not line.args:
        line.fail("needs a zone file")
    origins = zones_of(line, line.args[1:]) or block.zones
    plugin = File(block, block.runtime.root / line.args[0], origins)
    for option in line.body:
        if option.name == "reload":
            plugin.reload = duration_of(option, one_arg(option))
        elif option.name == "fallthrough":
            plugin.fall = fall_of(option)
        elif option.name != "upstream":
            option.fail("is not an option of file; there are reload and fallthrough")
    try:
        plugin.read()
    except (OSError, ValueError) as error:
        line.fail(f"{plugin.path}: {error}")
    return plugin
