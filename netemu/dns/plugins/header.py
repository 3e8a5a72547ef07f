"""header: set or clear aa, ra and rd, in queries on their way in or in replies on their way out.

    header {
        [query|response] set|clear FLAG…
    }

https://coredns.io/plugins/header/
"""

from __future__ import annotations

from dataclasses import replace

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Plugin

FLAGS = {"aa": wire.AA, "ra": wire.RA, "rd": wire.RD}


class Header(Plugin):
    name = "header"

    def __init__(self) -> None:
        self.query_set = self.query_clear = self.reply_set = self.reply_clear = 0

    async def serve(self, query: Query) -> Reply:
        if self.query_set or self.query_clear:
            flags = query.flags & ~self.query_clear | self.query_set
            query = replace(query, flags=flags)
        reply = await self.next.serve(query)
        reply.set_flags |= self.reply_set
        reply.clear_flags |= self.reply_clear
        return reply


def setup(line: Line, block: Block) -> Plugin:
    plugin = Header()
    if line.args or not line.body:
        line.fail("takes a block of [query|response] set|clear FLAG…")
    for option in line.body:
        words = list(option.words)
        side = words.pop(0) if words[0] in ("query", "response") else "response"
        if len(words) < 2 or words[0] not in ("set", "clear") or set(words[1:]) - set(FLAGS):
            option.fail(f"expected [query|response] set|clear, then {', '.join(FLAGS)}")
        bits = 0
        for word in words[1:]:
            bits |= FLAGS[word]
        field = f"{'query' if side == 'query' else 'reply'}_{words[0]}"
        setattr(plugin, field, getattr(plugin, field) | bits)
    return plugin
