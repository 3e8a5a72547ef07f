"""hosts: addresses of a file in the form of /etc/hosts, and of lines in the Corefile.

    hosts [FILE [ZONES…]] {
        ADDRESS NAME…
        ttl SECONDS (3600)      no_reverse      reload DURATION (5s)      fallthrough [ZONES…]
    }

https://coredns.io/plugins/hosts/
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.kube.lookup import reverse_address
from netemu.dns.kube.objects import packed
from netemu.dns.message import SECOND, Query, Reply
from netemu.dns.plugin import (
    Block,
    Failure,
    Fall,
    Plugin,
    duration_of,
    fall_of,
    match,
    number_of,
    one_arg,
    zones_of,
)
from netemu.dns.records import Record, address

log = logging.getLogger(__name__)

DEFAULT = "/etc/hosts"
MAX_SIZE = 16 << 20


class Table:
    """Names and addresses of some lines."""

    def __init__(self) -> None:
        self.names: dict[bytes, list[bytes]] = {}
        self.addresses: dict[bytes, list[bytes]] = {}

    def add(self, host: str, names: Iterable[str]) -> None:
        number = packed(host.partition("%")[0])
        for text in names:
            name = wire.from_text(text)
            self.names.setdefault(name.lower(), []).append(number)
            self.addresses.setdefault(number, []).append(name)

    @classmethod
    def read(cls, text: str) -> Table:
        """Lines that cannot be read are left out, as everywhere with this file."""
        table = cls()
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if len(words) >= 2:
                try:
                    table.add(words[0], words[1:])
                except ValueError:
                    continue
        return table


class Hosts(Plugin):
    name = "hosts"

    def __init__(self, block: Block, path: Path | None, zones: tuple[bytes, ...]) -> None:
        self.runtime = block.runtime
        self.path = path
        self.zones = zones
        self.ttl = 3600
        self.reverse = True
        self.reload = 5.0
        self.fall: Fall = Fall()
        self.inline = Table()
        self.file = Table()
        self._stamp = (0, 0)
        self.entries = block.runtime.registry.gauge(
            "coredns_hosts_entries", "The combined number of entries in hosts and Corefile."
        )

    async def serve(self, query: Query) -> Reply:
        inside = match(self.zones, query) is not None
        if query.qtype == wire.PTR:
            answer = self._names(query) if self.reverse else []
            if not answer:
                return await self.next.serve(query)
        elif not inside:
            return await self.next.serve(query)
        else:
            answer = self._addresses(query)
            if not answer and not self._known(query.name):
                if self.fall.through(query):
                    return await self.next.serve(query)
                raise Failure(f"{wire.to_text(query.name)}: not in the hosts, and no SOA to say so")
        return Reply(answer=answer, authoritative=True, keep=SECOND, plugin=self.name)

    def _addresses(self, query: Query) -> list[Record]:
        size = {wire.A: 4, wire.AAAA: 16}.get(query.qtype, 0)
        found = [*self.file.names.get(query.name, ()), *self.inline.names.get(query.name, ())]
        return [
            address(query.asked, self.ttl, number)
            for number in dict.fromkeys(found)
            if len(number) == size
        ]

    def _names(self, query: Query) -> list[Record]:
        number = reverse_address([label.decode("latin-1") for label in query.labels])
        if number is None:
            return []
        found = [*self.file.addresses.get(number, ()), *self.inline.addresses.get(number, ())]
        return [Record(query.asked, wire.PTR, self.ttl, name) for name in dict.fromkeys(found)]

    def _known(self, name: bytes) -> bool:
        return name in self.file.names or name in self.inline.names

    def read(self) -> None:
        """Read the file when it changed; what is there stays when it cannot be read."""
        if self.path is not None:
            try:
                stat = self.path.stat()
                stamp = (stat.st_mtime_ns, stat.st_size)
                if stamp != self._stamp and stat.st_size <= MAX_SIZE:
                    self.file, self._stamp = Table.read(self.path.read_text("latin-1")), stamp
            except OSError as error:
                if self._stamp != (0, 0):
                    log.warning(f"{self.path}: {error.strerror}")
        count = sum(len(a) for t in (self.file, self.inline) for a in t.names.values())
        self.entries.set((), count)

    async def run(self) -> None:
        while self.path is not None and self.reload > 0:
            await self.runtime.clock.sleep(self.reload)
            self.read()


def setup(line: Line, block: Block) -> Plugin:
    path = block.runtime.root / (line.args[0] if line.args else DEFAULT)
    plugin = Hosts(block, path, zones_of(line, line.args[1:]) or block.zones)
    for option in line.body:
        if option.name == "ttl":
            plugin.ttl = number_of(option, one_arg(option), 1, 65535)
        elif option.name == "no_reverse":
            plugin.reverse = False
        elif option.name == "reload":
            plugin.reload = duration_of(option, one_arg(option))
        elif option.name == "fallthrough":
            plugin.fall = fall_of(option)
        elif option.args:
            try:
                plugin.inline.add(option.name, option.args)
            except ValueError as error:
                option.fail(f"is neither an option nor an address: {error}")
        else:
            option.fail("is not an option of hosts")
    plugin.read()
    return plugin
