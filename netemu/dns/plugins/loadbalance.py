"""loadbalance: the order of A, AAAA and MX records changes from reply to reply.

    loadbalance [round_robin | weighted FILE] {
        reload DURATION          (weighted: how often FILE is read again, 30s)
        prefer CIDR…
    }

CNAMEs stay first. round_robin shuffles. `weighted` puts an address first as often as its weight
says; FILE has a name on a line, then `ADDRESS WEIGHT` lines. `prefer` puts addresses of these
networks first. https://coredns.io/plugins/loadbalance/
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.kube.objects import packed
from netemu.dns.message import ONCE, Query, Reply
from netemu.dns.plugin import Block, Plugin, duration_of, one_arg
from netemu.dns.records import Record

log = logging.getLogger(__name__)

_ADDRESSES = (wire.A, wire.AAAA)


@dataclass(slots=True)
class Weights:
    """`weighted FILE`: for each name, the weight of each address."""

    path: Path
    reload: float = 30.0
    stamp: tuple[int, int] = (0, 0)
    names: dict[bytes, dict[bytes, int]] = field(default_factory=dict)


class LoadBalance(Plugin):
    name = "loadbalance"

    def __init__(self, block: Block) -> None:
        self.runtime = block.runtime
        self.weights: Weights | None = None
        self.preferred: list[tuple[int, int, int]] = []
        """Networks: (bits of the family, network as a number, prefix shift)."""

    async def serve(self, query: Query) -> Reply:
        reply = await self.next.serve(query)
        several = len(reply.answer) > 1 or len(reply.additional) > 1
        if several and query.qtype not in wire.TRANSFERS:
            self._balance(query, reply)
        return reply

    def _balance(self, query: Query, reply: Reply) -> None:
        shuffle(reply.answer, self.runtime.random)
        shuffle(reply.authority, self.runtime.random)
        shuffle(reply.additional, self.runtime.random)
        count = sum(record.type in _ADDRESSES or record.type == wire.MX for record in reply.answer)
        reply.orders = max(1, count)
        if self.weights is not None and self._weigh(query, reply):
            reply.orders, reply.keep = 1, ONCE
        if self.preferred:
            reply.answer.sort(key=self._rank)
            reply.orders, reply.keep = 1, ONCE

    def _rank(self, record: Record) -> int:
        if record.type not in _ADDRESSES:
            return 0
        bits, number = len(record.rdata) * 8, int.from_bytes(record.rdata, "big")
        for index, (family, network, shift) in enumerate(self.preferred):
            if family == bits and number >> shift == network:
                return 1 + index
        return 1 + len(self.preferred)

    def _weigh(self, query: Query, reply: Reply) -> bool:
        """Put one address first, drawn by weight; an address without one weighs 1."""
        assert self.weights is not None
        table = self.weights.names.get(query.name)
        places = [i for i, record in enumerate(reply.answer) if record.type in _ADDRESSES]
        if not table or len(places) < 2:
            return False
        heavy = [table.get(reply.answer[place].rdata, 1) for place in places]
        chosen = self.runtime.random.choices(places, heavy)[0]
        reply.answer.insert(places[0], reply.answer.pop(chosen))
        return True

    async def run(self) -> None:
        while self.weights is not None and self.weights.reload > 0:
            await self.runtime.clock.sleep(self.weights.reload)
            try:
                read_weights(self.weights)
            except (OSError, ValueError) as error:
                log.error(f"{error}; the weights stay as they were")


def shuffle(records: list[Record], source: random.Random) -> None:
    """CoreDNS's order: CNAMEs, then others, then shuffled addresses, then shuffled MX."""
    if len(records) < 2:
        return
    aliases = [r for r in records if r.type == wire.CNAME]
    addresses = [r for r in records if r.type in _ADDRESSES]
    exchanges = [r for r in records if r.type == wire.MX]
    others = [r for r in records if r.type not in (*_ADDRESSES, wire.CNAME, wire.MX)]
    source.shuffle(addresses)
    source.shuffle(exchanges)
    records[:] = aliases + others + addresses + exchanges


def rotate(reply: Reply) -> None:
    """Move the first address (or MX) of the answer behind the last."""
    places = [i for i, r in enumerate(reply.answer) if r.type in (*_ADDRESSES, wire.MX)]
    if places:
        reply.answer.insert(places[-1], reply.answer.pop(places[0]))


def read_weights(weights: Weights) -> None:
    """Read the file when it changed; a bad line spoils the new content, not the old."""
    stat = weights.path.stat()
    stamp = (stat.st_mtime_ns, stat.st_size)
    if stamp == weights.stamp:
        return
    names: dict[bytes, dict[bytes, int]] = {}
    current: dict[bytes, int] | None = None
    for number, line in enumerate(weights.path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if len(words) == 1:
            current = names.setdefault(wire.from_text(words[0]).lower(), {})
        elif len(words) == 2 and current is not None and 0 < int(words[1]) < 256:
            current[packed(words[0])] = int(words[1])
        elif words:
            raise ValueError(f"{weights.path}:{number}: not `NAME` or `ADDRESS WEIGHT`")
    weights.names, weights.stamp = names, stamp


def setup(line: Line, block: Block) -> Plugin:
    plugin = LoadBalance(block)
    policy = line.args[0] if line.args else "round_robin"
    if policy == "weighted":
        if len(line.args) != 2:
            line.fail("weighted needs a file")
        plugin.weights = Weights(block.runtime.root / line.args[1])
    elif policy != "round_robin" or len(line.args) > 1:
        line.fail(f"{' '.join(line.args)!r} is not a policy; there are round_robin and weighted")
    for option in line.body:
        if option.name == "reload" and plugin.weights is not None:
            plugin.weights.reload = duration_of(option, one_arg(option))
        elif option.name == "prefer" and option.args:
            plugin.preferred += [_network(option, text) for text in option.args]
        else:
            option.fail("is not an option here; there are prefer and, with weighted, reload")
    if plugin.weights is not None:
        try:
            read_weights(plugin.weights)
        except (OSError, ValueError) as error:
            line.fail(str(error))
    return plugin


def _network(line: Line, text: str) -> tuple[int, int, int]:
    try:
        network = ip_network(text if "/" in text else str(ip_address(text)), strict=False)
    except ValueError as error:
        line.fail(str(error))
    shift = network.max_prefixlen - network.prefixlen
    return network.max_prefixlen, int(network.network_address) >> shift, shift
