"""transfer: whole zones for other name servers, over TCP (AXFR, RFC 5936).

    transfer [ZONES…] {
        to ADDRESS…|*
    }

The zones are those of `kubernetes` and `file`. A client that asks for changes (IXFR, RFC 1995) gets
the SOA alone when it is up to date, else the whole zone. No NOTIFY is sent.
https://coredns.io/plugins/transfer/
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from ipaddress import ip_address

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Plugin, match, split_address, zones_of
from netemu.dns.records import Record

log = logging.getLogger(__name__)

ANYONE = "*"
MESSAGE = 32_000
"""Octets of records, without compression, in one message of a transfer; 65,535 may be sent."""


class Transfer(Plugin):
    name = "transfer"

    def __init__(self, block: Block) -> None:
        self.block = block
        self.to: dict[bytes, set[str]] = {}
        """Zone -> who may have it."""

    async def serve(self, query: Query) -> Reply:
        start = match(self.to, query) if query.qtype in wire.TRANSFERS else None
        if start is None:
            return await self.next.serve(query)
        if query.proto != "tcp" or not self._may(query, self.to[query.name[start:]]):
            return Reply(wire.REFUSED, plugin=self.name)
        if query.qtype == wire.IXFR and query.serial is None:
            return Reply(wire.SERVFAIL, plugin=self.name)
        for plugin in self.block.plugins:
            records = plugin.transfer(query.name)
            if records is not None:
                return self._answer(query, records)
        return await self.next.serve(query)

    def _may(self, query: Query, allowed: set[str]) -> bool:
        host = ip_address(str(query.client[0]).partition("%")[0])
        return ANYONE in allowed or str(host) in allowed

    def _answer(self, query: Query, records: list[Record]) -> Reply:
        serial = int.from_bytes(records[0].rdata[-20:-16], "big")
        zone = f'zone "{wire.to_text(query.name)}" to {query.client[0]} for {serial} SOA serial'
        if query.qtype == wire.IXFR and query.serial is not None and query.serial >= serial:
            log.info(f"Outgoing noop, incremental transfer for up to date {zone}")
            return Reply(answer=records[:1], authoritative=True, plugin=self.name)
        log.info(f"Outgoing transfer of {len(records)} records of {zone}")
        first, *rest = (
            Reply(answer=part, authoritative=True, plugin=self.name) for part in _parts(records)
        )
        first.following = tuple(rest)
        return first


def _parts(records: list[Record]) -> Iterator[list[Record]]:
    part: list[Record] = []
    size = 0
    for record in records:
        size += len(record.name) + 10 + len(record.rdata)
        if part and size > MESSAGE:
            yield part
            part, size = [], len(record.name) + 10 + len(record.rdata)
        part.append(record)
    yield part


def setup(line: Line, block: Block) -> Plugin:
    existing = block.find("transfer")
    plugin = existing if isinstance(existing, Transfer) else Transfer(block)
    allowed: set[str] = set()
    for option in line.body:
        if option.name != "to" or not option.args:
            option.fail("is not an option of transfer; there is to ADDRESS…")
        allowed.update(_address(option, text) for text in option.args)
    if not allowed:
        line.fail("needs to ADDRESS…, or to *")
    for zone in zones_of(line, line.args) or block.zones:
        plugin.to.setdefault(zone, set()).update(allowed)
    return plugin


def _address(line: Line, text: str) -> str:
    if text == ANYONE:
        return text
    try:
        return split_address(text, 53)[0]
    except ValueError as error:
        line.fail(str(error))
