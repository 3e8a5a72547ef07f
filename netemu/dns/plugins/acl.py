"""acl: who may ask what.

    acl [ZONES…] {
        allow|block|filter|drop [type QTYPE…] [net SOURCE…]
    }

The first rule that matches decides. block: REFUSED; filter: NOERROR without an answer; drop: no
reply. https://coredns.io/plugins/acl/
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import ONCE, Query, Reply
from netemu.dns.plugin import Block, Plugin, match, zones_of

ACTIONS = ("allow", "block", "filter", "drop")

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Rule:
    """`types` and `networks` empty: any."""

    action: str
    types: frozenset[int]
    networks: tuple[Network, ...]

    def matches(self, query: Query) -> bool:
        if self.types and query.qtype not in self.types:
            return False
        if not self.networks:
            return True
        source = ip_address(str(query.client[0]).partition("%")[0])
        return any(source.version == n.version and source in n for n in self.networks)


class Acl(Plugin):
    name = "acl"

    def __init__(self, block: Block, zones: tuple[bytes, ...]) -> None:
        self.zones = zones
        self.rules: list[Rule] = []
        labels = ("server", "zone", "view")
        registry = block.runtime.registry
        self.server = block.server
        self.counters = {
            action: registry.counter(f"coredns_acl_{name}_requests_total", text, labels)
            for action, name, text in (
                ("block", "blocked", "Counter of DNS requests being blocked."),
                ("filter", "filtered", "Counter of DNS requests being filtered."),
                ("drop", "dropped", "Counter of DNS requests being dropped."),
            )
        }

    async def serve(self, query: Query) -> Reply:
        start = match(self.zones, query)
        if start is None:
            return await self.next.serve(query)
        rule = next((rule for rule in self.rules if rule.matches(query)), None)
        if rule is None or rule.action == "allow":
            reply = await self.next.serve(query)
            reply.keep = ONCE  # another client may not get it
            return reply
        labels = (self.server, wire.to_text(query.name[start:]), "")
        self.counters[rule.action].add(labels)
        if rule.action == "drop":
            return Reply(silent=True, plugin=self.name)
        if rule.action == "filter":
            return Reply(plugin=self.name)
        return Reply(wire.REFUSED, plugin=self.name)


def setup(line: Line, block: Block) -> Plugin:
    plugin = Acl(block, zones_of(line, line.args) or block.zones)
    for option in line.body:
        if option.name not in ACTIONS:
            option.fail(f"is not an action; there are {', '.join(ACTIONS)}")
        plugin.rules.append(_rule(option))
    return plugin


def _rule(option: Line) -> Rule:
    types: set[int] = set()
    networks: list[Network] = []
    every_type = every_source = True
    section = ""
    for word in option.args:
        if word.lower() in ("type", "net"):
            section = word.lower()
        elif section == "type":
            if word != "*":
                every_type = False
                types.add(_type(option, word))
        elif section == "net":
            if word != "*":
                every_source = False
                networks.append(_network(option, word))
        else:
            option.fail(f"{word!r} stands in front of type or net")
    return Rule(
        option.name,
        frozenset() if every_type else frozenset(types),
        () if every_source else tuple(networks),
    )


def _type(option: Line, word: str) -> int:
    try:
        return wire.type_number(word)
    except ValueError as error:
        option.fail(str(error))


def _network(option: Line, word: str) -> Network:
    try:
        return ip_network(word, strict=False)
    except ValueError as error:
        option.fail(str(error))
