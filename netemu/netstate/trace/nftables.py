"""The nftables evaluator: walks a table's chains, their rules parsed by `netstate.nftparse`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from netemu.netstate import nftrule as rule
from netemu.netstate.nftables import Table
from netemu.netstate.nftparse import parse
from netemu.netstate.packet import is_in
from netemu.netstate.trace.walk import ACCEPT, CONTINUE, DROP, REJECT, RETURN, BaseChain, Walk

_FINAL = {"accept": ACCEPT, "drop": DROP, "reject": REJECT, "return": RETURN}
_NO_MATCH = rule.Verdict("no match")
_Result = rule.Verdict | None
"""A verdict, or None: go on with the rule."""


def _primary(part: rule.Primary, walk: Walk) -> str:
    if isinstance(part, rule.Numgen):
        return str(walk.choices.pick(part.modulus))
    if isinstance(part, rule.AddressType):
        subject = walk.packet.source if part.side == "saddr" else walk.address
        return "local" if walk.host.is_local(subject) else "unicast"
    return {
        "saddr": walk.packet.source,
        "daddr": walk.address,
        "l4proto": walk.packet.protocol,
        "dport": str(walk.port),
    }[part.name]


def _value(value: rule.Value, walk: Walk) -> str:
    return " . ".join(_primary(part, walk) for part in value)


def _is_one_of(value: str, wanted: tuple[str, ...]) -> bool:
    return any(is_in(value, w) if "/" in w else value == w for w in wanted)


def _when(matched: bool) -> _Result:
    return None if matched else _NO_MATCH


class NftRules:
    """One table, as a source of rules for `trace`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def at(self, hook: str) -> Iterator[BaseChain]:
        for name, chain in self._table.chains.items():
            if chain.hook == hook:
                yield BaseChain(chain.priority, self._runner(name), chain.kind == "nat")

    def _runner(self, name: str) -> Callable[[Walk], str]:
        def run(walk: Walk) -> str:
            verdict = self._chain(walk, name)
            return ACCEPT if verdict in (CONTINUE, RETURN) else verdict

        return run

    def _chain(self, walk: Walk, name: str) -> str:
        for text in self._table.chains[name].rules:
            result = self._rule(walk, text)
            if result is _NO_MATCH:
                continue
            walk.note(f"{self._table.name} {name}", text, _action(result, walk))
            if result is None:
                continue
            if result.word == RETURN:
                return CONTINUE
            if not result.chain:
                return _FINAL[result.word]
            verdict = self._chain(walk, result.chain)
            if verdict != CONTINUE or result.word == "goto":
                return verdict
        return CONTINUE

    def _rule(self, walk: Walk, text: str) -> _Result:
        for operation in parse(text).operations:
            result = self._operation(operation, walk)
            if result is not None:
                return result
        return None

    def _operation(self, operation: rule.Operation, walk: Walk) -> _Result:
        match operation:
            case rule.Verdict():
                return operation
            case rule.Match():
                return self._match(operation, walk)
            case rule.VerdictMap():
                return self._verdict(self._find(operation.lookup, operation.value, walk))
            case rule.DnatTo():
                return _translate(walk, operation.address, operation.port)
            case rule.DnatMap():
                found = self._find(operation.lookup, operation.value, walk)
                address, _, port = (found or "").partition(" . ")
                return _NO_MATCH if found is None else _translate(walk, address, int(port))
            case rule.Update():
                members = walk.memory.setdefault(operation.name, set())
                members.add(_value(operation.value, walk))
                return None
            case rule.Conntrack():
                if operation.what == "status":
                    return _when(walk.translated)
                return _when(walk.packet.state == "NEW")
            case rule.MarkTest():
                equal = walk.mark & operation.mask == operation.wanted
                return _when(equal != operation.negated)
            case rule.MarkSet():
                bits = operation.bits
                walk.mark = walk.mark | bits if operation.operator == "|" else walk.mark ^ bits
                return None
            case rule.Masquerade():
                walk.masqueraded = True
                return rule.Verdict("accept")

    def _find(self, lookup: rule.Lookup, value: rule.Value, walk: Walk) -> str | None:
        elements: Mapping[str, str]
        elements = self._table.sets[lookup].elements if isinstance(lookup, str) else lookup
        return elements.get(_value(value, walk))

    def _verdict(self, found: str | None) -> _Result:
        if found is None:
            return _NO_MATCH
        word, _, chain = found.partition(" ")
        return rule.Verdict(word, chain)

    def _match(self, operation: rule.Match, walk: Walk) -> _Result:
        value = _value(operation.value, walk)
        if operation.name:
            elements = self._table.sets[operation.name].elements
            found = value in elements or value in walk.memory.get(operation.name, ())
        else:
            found = _is_one_of(value, operation.wanted)
        return _when(found != operation.negated)


def _translate(walk: Walk, address: str, port: int) -> _Result:
    walk.translate(address, port)
    return rule.Verdict("accept")


def _action(result: _Result, walk: Walk) -> str:
    if result is None:
        return "continue"
    if result.chain:
        return f"{result.word} {result.chain}"
    if result.word == "accept" and walk.masqueraded:
        return "masquerade"
    if result.word == "accept" and walk.translated:
        return f"dnat {walk.address}:{walk.port}"
    return result.word
