"""bufsize: cap the EDNS size that clients ask for, so that replies don't fragment.

    bufsize [SIZE]        (512 to 4096; 1232)

https://coredns.io/plugins/bufsize/
"""

from __future__ import annotations

from dataclasses import replace

from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Plugin, number_of

DEFAULT = 1232


class BufSize(Plugin):
    name = "bufsize"

    def __init__(self, size: int) -> None:
        self.size = size

    async def serve(self, query: Query) -> Reply:
        edns = query.edns
        if edns is not None and edns.size > self.size:
            # The reply's encoder sees the query that the server holds, so that one is told.
            query.limit = min(query.limit, self.size) if query.proto == "udp" else query.limit
            query = replace(query, edns=replace(edns, size=self.size))
        return await self.next.serve(query)


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    if len(line.args) > 1:
        line.fail("takes one size")
    return BufSize(number_of(line, line.args[0], 512, 4096) if line.args else DEFAULT)
