"""template: answers made from the name that was asked.

    template CLASS TYPE [ZONES…] {
        match REGEX…                       (of the whole name, lower case; .* without)
        answer RR      additional RR      authority RR
        rcode CODE     upstream           fallthrough [ZONES…]
        ederror CODE [REASON]              (RFC 8914, for clients with EDNS)
    }

RR is a record with Go template fields: {{ .Name }} {{ .Type }} {{ .Class }} {{ .Zone }}
{{ .Remote }} {{ .Question.Name }} {{ index .Match 1 }} {{ .Group.NAME }}
{{ parseInt .Group.x 16 10 }}.
https://coredns.io/plugins/template/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from netemu.dns import names, presentation, wire
from netemu.dns.corefile import Line
from netemu.dns.message import ONCE, Query, Reply
from netemu.dns.plugin import (
    Block,
    Failure,
    Fall,
    Plugin,
    fall_of,
    match,
    number_of,
    one_arg,
    zones_of,
)
from netemu.dns.records import Record

Field = Callable[[Query, re.Match[str], str], str]
"""(query, match, zone) → text."""


@dataclass(slots=True)
class Template:
    """Text and fields in turn."""

    parts: list[str | Field] = field(default_factory=list)

    def render(self, query: Query, found: re.Match[str], zone: str) -> Record:
        text = "".join(
            part if isinstance(part, str) else part(query, found, zone) for part in self.parts
        )
        return presentation.parse_one(text)


class Templates(Plugin):
    name = "template"

    def __init__(self, block: Block, qclass: int, qtype: int, zones: tuple[bytes, ...]) -> None:
        self.block = block
        self.runtime = block.runtime
        self.qclass, self.qtype, self.zones = qclass, qtype, zones
        self.patterns: list[re.Pattern[str]] = []
        self.answer: list[Template] = []
        self.additional: list[Template] = []
        self.authority: list[Template] = []
        self.rcode = wire.NOERROR
        self.extended: tuple[int, str] | None = None
        self.upstream = False
        self.fall = Fall()

    async def serve(self, query: Query) -> Reply:
        start = match(self.zones, query)
        if start is None or not self._applies(query):
            return await self.next.serve(query)
        text = wire.to_text(query.name)
        found = next((m for p in self.patterns if (m := p.search(text))), None)
        if found is None:
            if self.fall.through(query):
                return await self.next.serve(query)
            return Reply(wire.NXDOMAIN, keep=ONCE, plugin=self.name)
        if self.rcode == wire.SERVFAIL:
            return Reply(wire.SERVFAIL, plugin=self.name)
        zone = wire.to_text(query.name[start:])
        try:
            reply = Reply(
                self.rcode,
                answer=[t.render(query, found, zone) for t in self.answer],
                authority=[t.render(query, found, zone) for t in self.authority],
                additional=[t.render(query, found, zone) for t in self.additional],
                authoritative=True,
                extended=self.extended,
                plugin=self.name,
            )
        except (ValueError, IndexError, KeyError) as error:
            raise Failure(f"template: {error}") from None
        if self.upstream and query.qtype in (wire.A, wire.AAAA):
            await self._follow(query, reply)
        return reply

    def _applies(self, query: Query) -> bool:
        return (wire.CLASS_ANY in (self.qclass, query.qclass) or self.qclass == query.qclass) and (
            wire.ANY in (self.qtype, query.qtype) or self.qtype == query.qtype
        )

    async def _follow(self, query: Query, reply: Reply) -> None:
        for record in list(reply.answer):
            target = names.target(record) if record.type == wire.CNAME else None
            if target is not None:
                inner = query.ask(target, query.qtype)
                reply.answer += (await self.runtime.resolve(inner, self.block)).answer


_FIELD = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_INDEX = re.compile(r"index\s+\.Match\s+(\d+)")
_GROUP = re.compile(r"\.Group\.(\w+)")
_PARSE = re.compile(r"parseInt\s+(\S+)\s+(\d+)\s+(\d+)")
_SIMPLE: dict[str, Field] = {
    ".Name": lambda query, found, zone: wire.to_text(query.name),
    ".Question.Name": lambda query, found, zone: wire.to_text(query.asked),
    ".Type": lambda query, found, zone: wire.type_name(query.qtype),
    ".Class": lambda query, found, zone: wire.class_name(query.qclass),
    ".Zone": lambda query, found, zone: zone,
    ".Remote": lambda query, found, zone: str(query.client[0]),
    ".Message.Id": lambda query, found, zone: str(query.id),
}


def _template(line: Line, text: str) -> Template:
    template, at = Template(), 0
    for found in _FIELD.finditer(text):
        template.parts += [text[at : found.start()], _field(line, found[1])]
        at = found.end()
    template.parts.append(text[at:])
    return template


def _field(line: Line, text: str) -> Field:
    if text in _SIMPLE:
        return _SIMPLE[text]
    if indexed := _INDEX.fullmatch(text):
        number = int(indexed[1])
        return lambda query, found, zone: found[number] or ""
    if group := _GROUP.fullmatch(text):
        name = group[1]
        return lambda query, found, zone: found[name] or ""
    if parsed := _PARSE.fullmatch(text):
        inner, base, to = _field(line, parsed[1]), int(parsed[2]), int(parsed[3])
        return lambda query, found, zone: _based(int(inner(query, found, zone), base), to)
    line.fail(f"{{{{ {text} }}}} is not a field that templates know here")


def _based(number: int, base: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, base)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if not number:
            return digits


def setup(line: Line, block: Block) -> Plugin:
    if len(line.args) < 2:
        line.fail("needs a class and a type")
    qclass = wire.CLASSES.get(line.args[0].upper())
    if qclass is None:
        line.fail(f"{line.args[0]!r} is not a class")
    try:
        qtype = wire.type_number(line.args[1])
    except ValueError as error:
        line.fail(str(error))
    plugin = Templates(block, qclass, qtype, zones_of(line, line.args[2:]) or block.zones)
    for option in line.body:
        _option(option, plugin)
    plugin.patterns = plugin.patterns or [re.compile("")]
    return plugin


def _option(line: Line, plugin: Templates) -> None:
    if line.name == "match":
        try:
            plugin.patterns += [re.compile(text) for text in line.args]
        except re.error as error:
            line.fail(f"is not a regular expression: {error}")
    elif line.name in ("answer", "additional", "authority"):
        getattr(plugin, line.name).append(_template(line, " ".join(line.args)))
    elif line.name == "rcode":
        code = wire.RCODES.get(one_arg(line).upper())
        if code is None:
            line.fail(f"{line.args[0]!r} is not a response code")
        plugin.rcode = code
    elif line.name == "upstream":
        plugin.upstream = True
    elif line.name == "fallthrough":
        plugin.fall = fall_of(line)
    elif line.name == "ederror" and 1 <= len(line.args) <= 2:
        plugin.extended = (number_of(line, line.args[0], 0, 65535), "".join(line.args[1:]))
    else:
        line.fail("is not an option of template")
