"""log: a line for each query.

    log [NAMES…] [FORMAT] {
        class all|denial|error|success …
    }

FORMAT is {common} (the default), {combined}, or text with {type} {name} {class} {proto} {remote}
{local} {size} {port} {duration} {rcode} {rsize} {>rflags} {>bufsize} {>do} {>id} {>opcode}.
https://coredns.io/plugins/log/
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from netemu.dns import message, wire
from netemu.dns.corefile import Line
from netemu.dns.message import ONCE, Query, Reply
from netemu.dns.plugin import Block, Failure, Plugin, match, zones_of

log = logging.getLogger(__name__)

COMMON = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}"'
    " {rcode} {>rflags} {rsize} {duration}"
)
COMBINED = f'{COMMON} "{{>opcode}}"'
CLASSES = ("all", "success", "denial", "error")


class Log(Plugin):
    name = "log"

    def __init__(self, zones: tuple[bytes, ...], form: str) -> None:
        self.zones = zones
        self.form = form
        self.classes: frozenset[str] = frozenset({"all"})

    async def serve(self, query: Query) -> Reply:
        if match(self.zones, query) is None:
            return await self.next.serve(query)
        started = time.perf_counter()
        try:
            reply = await self.next.serve(query)
        except Failure as failure:
            self._tell(query, Reply(failure.rcode), started)
            raise
        reply.keep = ONCE
        self._tell(query, reply, started)
        return reply

    def _tell(self, query: Query, reply: Reply, started: float) -> None:
        if "all" not in self.classes and classify(reply) not in self.classes:
            return
        elapsed = time.perf_counter() - started
        fields = {name: make(query, reply) for name, make in _FIELDS.items()}
        fields["duration"] = f"{elapsed:.9f}s"
        log.info(_FIELD.sub(lambda found: fields.get(found[1], "-"), self.form))


def classify(reply: Reply) -> str:
    """success, denial or error, as CoreDNS groups replies."""
    if reply.rcode == wire.NXDOMAIN:
        return "denial"
    if reply.rcode != wire.NOERROR:
        return "error"
    soa = any(record.type == wire.SOA for record in reply.authority)
    return "denial" if not reply.answer and soa else "success"


_FIELD = re.compile(r"\{(>?[a-z]+)\}")
_FLAGS = (("aa", wire.AA), ("tc", wire.TC), ("rd", wire.RD), ("ra", wire.RA), ("ad", wire.AD))


def _flags(query: Query, reply: Reply) -> str:
    flags = int.from_bytes(message.encode(query, reply)[2:4], "big")
    return ",".join(["qr", *(name for name, bit in (*_FLAGS, ("cd", wire.CD)) if flags & bit)])


_FIELDS: dict[str, Callable[[Query, Reply], str]] = {
    "type": lambda query, reply: wire.type_name(query.qtype),
    "name": lambda query, reply: wire.to_text(query.asked),
    "class": lambda query, reply: wire.class_name(query.qclass),
    "proto": lambda query, reply: query.proto,
    "remote": lambda query, reply: _host(query.client[0]),
    "port": lambda query, reply: str(query.client[1]),
    "local": lambda query, reply: _host(query.local[0]),
    "size": lambda query, reply: str(query.size),
    "rcode": lambda query, reply: wire.rcode_name(reply.rcode),
    "rsize": lambda query, reply: str(len(message.encode(query, reply))),
    ">rflags": _flags,
    ">bufsize": lambda query, reply: str(query.edns.size if query.edns else 512),
    ">do": lambda query, reply: str(bool(query.edns and query.edns.do)).lower(),
    ">id": lambda query, reply: str(query.id),
    ">opcode": lambda query, reply: str(query.flags >> 11 & 15),
}


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def setup(line: Line, block: Block) -> Plugin:
    words = list(line.args)
    form = COMMON
    if words and "{" in words[-1]:
        form = words.pop()
        form = {"{common}": COMMON, "{combined}": COMBINED}.get(form, form)
    plugin = Log(zones_of(line, words) or (wire.ROOT,), form)
    classes: set[str] = set()
    for option in line.body:
        if option.name != "class" or not option.args or set(option.args) - set(CLASSES):
            option.fail(f"is not an option of log; there is class {'|'.join(CLASSES)}")
        classes |= set(option.args)
    plugin.classes = frozenset(classes or {"all"})
    return plugin
