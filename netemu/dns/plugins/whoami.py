"""whoami: the client's own address and port, for trying things out.

The additional section has an address record, and an SRV record `_udp.NAME` (`_tcp.`) with the port.
https://coredns.io/plugins/whoami/
"""

from __future__ import annotations

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.kube.objects import packed
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Plugin
from netemu.dns.records import address, srv


class WhoAmI(Plugin):
    name = "whoami"

    async def serve(self, query: Query) -> Reply:
        host = str(query.client[0]).partition("%")[0]
        owner = wire.join((f"_{query.proto}".encode(),), query.asked)
        additional = [
            address(query.asked, 0, packed(host)),
            srv(owner, 0, 0, int(query.client[1]), wire.ROOT),
        ]
        return Reply(additional=additional, authoritative=True, plugin=self.name)


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    return WhoAmI()
