"""any: a minimal answer to ANY queries, so that they are no use for amplification (RFC 8482).

https://coredns.io/plugins/any/
"""

from __future__ import annotations

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import LASTING, Query, Reply
from netemu.dns.plugin import Block, Plugin
from netemu.dns.records import hinfo

TTL = 8482


class AnyQuery(Plugin):
    name = "any"

    async def serve(self, query: Query) -> Reply:
        if query.qtype != wire.ANY:
            return await self.next.serve(query)
        answer = [hinfo(query.asked, TTL, b"ANY obsoleted", b"See RFC 8482")]
        return Reply(answer=answer, keep=LASTING, plugin=self.name)


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    if line.args:
        line.fail("takes no arguments")
    return AnyQuery()
