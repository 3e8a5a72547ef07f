"""autopath: walk the client's search list on the server, so that one query does for eight.

    autopath [ZONE…] @kubernetes|FILE

A query for the first entry of the client's search list is tried with each further one; the first
that exists is sent, behind a CNAME from the name asked. `@kubernetes` knows the list from the pod
that has the client's address, so it needs `pods verified`; FILE is a resolv.conf.
https://coredns.io/plugins/autopath/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.kube.objects import packed
from netemu.dns.message import ONCE, Query, Reply
from netemu.dns.plugin import Block, Plugin, match, zones_of
from netemu.dns.plugins.kubernetes import Kubernetes
from netemu.dns.records import cname


class AutoPath(Plugin):
    name = "autopath"

    def __init__(self, block: Block, zones: tuple[bytes, ...], host: Sequence[bytes]) -> None:
        self.block = block
        self.zones = zones
        self.host = tuple(host)
        """The host's own search list."""
        self.by_pod = False
        self.count = block.runtime.registry.counter(
            "coredns_autopath_success_total",
            "Counter of requests that did autopath.",
            ("server",),
        )

    async def serve(self, query: Query) -> Reply:
        start = match(self.zones, query)
        search = self._search(query) if start is not None else ()
        if not search or not wire.is_below(query.name, search[0]) or query.name == search[0]:
            return await self.next.serve(query)
        base = query.asked[: len(query.asked) - len(search[0])]
        first: Reply | None = None
        for suffix in search:
            reply = await self.next.serve(query.ask(base + suffix, query.qtype))
            reply.keep = ONCE
            first = first or reply
            if reply.rcode != wire.NXDOMAIN:
                self._alias(query, reply)
                self.count.add((self.block.server,))
                return reply
        assert first is not None
        return first

    def _search(self, query: Query) -> tuple[bytes, ...]:
        if not self.by_pod:
            return self.host
        plugin = self.block.find("kubernetes")
        start = match(plugin.zones, query) if isinstance(plugin, Kubernetes) else None
        if not isinstance(plugin, Kubernetes) or start is None:
            return ()
        try:
            address = packed(str(query.client[0]))
        except ValueError:
            return ()
        zone = query.name[start:]
        for pod in plugin.view.store.by_pod.get(address):
            namespace = pod.key.partition("/")[0].encode()
            services = wire.join((b"svc",), zone)
            own = (wire.join((namespace,), services), services, zone)
            return (*own, *self.host, wire.ROOT)
        return ()

    def _alias(self, query: Query, reply: Reply) -> None:
        """CNAME from what was asked to what was found."""
        for record in reply.answer:
            if record.name.lower() != query.name:
                reply.answer.insert(0, cname(query.asked, record.ttl, record.name))
                return


def search_list(path: Path) -> list[bytes]:
    """The domains of the last `search` line; resolv.conf(5)."""
    found: list[bytes] = []
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        if words and words[0] == "search":
            found = [wire.from_text(word).lower() for word in words[1:] if word != "."]
    return found


def setup(line: Line, block: Block) -> Plugin:
    line.no_body()
    if not line.args:
        line.fail("needs @kubernetes or a file in the form of resolv.conf")
    source = line.args[-1]
    by_pod = source.startswith("@")
    if by_pod and source != "@kubernetes":
        line.fail(f"{source}: only @kubernetes knows its clients")
    path = block.runtime.resolv_conf if by_pod else block.runtime.root / source
    try:
        host = search_list(path)
    except (OSError, ValueError) as error:
        if not by_pod:
            line.fail(f"{source}: {error}")
        host = []
    plugin = AutoPath(block, zones_of(line, line.args[:-1]) or block.zones, host)
    plugin.by_pod = by_pod
    if not by_pod:
        plugin.host = (*host, wire.ROOT)
    return plugin
