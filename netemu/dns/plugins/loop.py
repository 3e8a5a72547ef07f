"""loop: ask ourselves a random name once; if it comes round more than twice, stop the process.

A resolver that forwards to itself (a host's 127.0.0.53 in /etc/resolv.conf is the classic) would
only burn time: better a crash that says why. https://coredns.io/plugins/loop/#troubleshooting
"""

from __future__ import annotations

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Plugin

PATIENCE = 30.0
"""Seconds to try; an upstream that does not answer by then proves nothing."""


class Loop(Plugin):
    name = "loop"

    def __init__(self, block: Block) -> None:
        self.block = block
        self.runtime = block.runtime
        self.zone = block.zones[0]
        labels = [str(self.runtime.random.getrandbits(62)).encode() for _ in range(2)]
        self.probe = wire.join(labels, self.zone)
        self.seen = 0
        self.watching = True

    async def serve(self, query: Query) -> Reply:
        if self.watching and query.qtype == wire.HINFO and query.name == self.probe:
            self.seen += 1
            if self.seen > 2:
                self.watching = False
                zone = wire.to_text(self.zone)
                self.runtime.exit(
                    f"plugin/loop: Loop ({query.client[0]}:{query.client[1]} -> {query.server.removeprefix('dns://')})"
                    f' detected for zone "{zone}", see https://coredns.io/plugins/loop#troubleshooting.'
                    f' Query: "HINFO {wire.to_text(query.name)}"'
                )
        return await self.next.serve(query)

    async def run(self) -> None:
        clock = self.runtime.clock
        until, wait = clock.monotonic() + PATIENCE, 2.0
        starts = tuple(wire.offsets(self.probe))
        query = Query(0, wire.RD, self.probe, self.probe, starts, wire.HINFO)
        query.zone, query.server = self.zone, self.block.server
        while self.watching and clock.monotonic() < until:
            self.seen = 0
            reply = await self.runtime.resolve(query, self.block)
            if reply.rcode != wire.SERVFAIL:
                break
            await clock.sleep(wait)
        self.watching = False


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    return Loop(block)
