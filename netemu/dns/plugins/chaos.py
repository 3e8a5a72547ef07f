"""chaos: who we are, asked in class CH: version.bind, authors.bind, hostname.bind, id.server.

    chaos [VERSION] [AUTHORS…]

https://coredns.io/plugins/chaos/
"""

from __future__ import annotations

import platform

import netemu
from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import LASTING, Query, Reply
from netemu.dns.plugin import Block, Plugin
from netemu.dns.records import Record, txt


class Chaos(Plugin):
    name = "chaos"

    def __init__(self, version: str, authors: tuple[str, ...]) -> None:
        host = platform.node()
        self.texts: dict[bytes, list[str]] = {
            wire.from_text("version.bind."): [version],
            wire.from_text("version.server."): [version],
            wire.from_text("hostname.bind."): [host],
            wire.from_text("id.server."): [host],
            wire.from_text("authors.bind."): list(authors),
        }

    async def serve(self, query: Query) -> Reply:
        texts = self.texts.get(query.name)
        if query.qclass != wire.CH or query.qtype != wire.TXT or texts is None:
            return await self.next.serve(query)
        answer: list[Record] = [txt(query.asked, 0, t.encode()[:255], wire.CH) for t in texts]
        return Reply(answer=answer, keep=LASTING, plugin=self.name)


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    version = line.args[0] if line.args else f"netemu-{netemu.__version__}"
    return Chaos(version, line.args[1:] or ("the authors of netemu",))
