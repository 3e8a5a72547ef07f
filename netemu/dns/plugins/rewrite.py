"""rewrite: change queries on their way in, and their replies on the way out.

    rewrite [continue|stop] name [exact|prefix|suffix|substring|regex] FROM TO [answer …]
    rewrite [continue|stop] type FROM TO
    rewrite [continue|stop] class FROM TO
    rewrite [continue|stop] ttl [exact|…] NAME SECONDS
    rewrite [continue|stop] rcode [exact|…] NAME FROM TO
    rewrite [continue|stop] cname [exact|…] FROM TO
    rewrite [continue|stop] edns0 local|nsid|subnet set|append|replace|unset …
    rewrite [continue|stop] {
        name regex FROM TO
        answer name|value FROM TO
    }

The rules of a server block are tried in order; the first that matches is the last, unless it says
`continue`. https://coredns.io/plugins/rewrite/
"""

from __future__ import annotations

from collections.abc import Callable

from netemu.dns.corefile import Line
from netemu.dns.message import ONCE, Query, Reply
from netemu.dns.plugin import Block, Plugin
from netemu.dns.plugins.rewriting.fields import (
    ClassRule,
    CnameRule,
    EdnsRule,
    RcodeRule,
    TtlRule,
    TypeRule,
)
from netemu.dns.plugins.rewriting.name import NameRule
from netemu.dns.plugins.rewriting.rule import Respond, Rule

_FIELDS: dict[str, Callable[[Line, list[str], bool], Rule]] = {
    "name": NameRule,
    "type": TypeRule,
    "class": ClassRule,
    "ttl": TtlRule,
    "rcode": RcodeRule,
    "cname": CnameRule,
    "edns0": EdnsRule,
}


class Rewrite(Plugin):
    name = "rewrite"

    def __init__(self, block: Block) -> None:
        self.block = block
        self.runtime = block.runtime
        self.rules: list[Rule] = []

    async def serve(self, query: Query) -> Reply:
        changed, responders, aliases = query, list[Respond](), list[CnameRule]()
        for rule in self.rules:
            found = rule.apply(changed)
            if found is None:
                continue
            changed = found[0]
            if found[1] is not None:
                responders.append(found[1])
            if isinstance(rule, CnameRule):
                aliases.append(rule)
            elif rule.stop:
                break
        reply = await self.next.serve(changed)
        for alias in aliases:
            target = alias.retarget(reply)
            if target is not None:
                inner = changed.ask(target, changed.qtype)
                reply.answer += (await self.runtime.resolve(inner, self.block)).answer
                reply.keep = ONCE
                break
        for respond in reversed(responders):
            respond(query, reply)
        if any(isinstance(rule, EdnsRule) for rule in self.rules):
            reply.keep = ONCE
        return reply


def setup(line: Line, block: Block) -> Plugin:
    existing = block.find("rewrite")
    plugin = existing if isinstance(existing, Rewrite) else Rewrite(block)
    plugin.rules.append(_rule(line))
    return plugin


def _rule(line: Line) -> Rule:
    words = list(line.args)
    stop = True
    if words and words[0] in ("continue", "stop"):
        stop = words.pop(0) == "stop"
    for inner in line.body:
        words += inner.words
    if not words:
        line.fail(f"needs a field: {', '.join(_FIELDS)}")
    make = _FIELDS.get(words[0])
    if make is None and len(words) == 2:
        make, words = NameRule, ["name", *words]
    if make is None:
        line.fail(f"{words[0]!r} is not a field; there are {', '.join(_FIELDS)}")
    return make(line, words[1:], stop)
