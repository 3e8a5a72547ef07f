"""The nftables evaluator: the expressions and statements of the proxy's tables.

A word it does not know raises ValueError: a wrong verdict would be worse than none.
https://www.netfilter.org/projects/nftables/manpage.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from netemu.netstate.nftables import Chain, Table
from netemu.netstate.packet import is_in
from netemu.netstate.trace.walk import ACCEPT, CONTINUE, DROP, REJECT, RETURN, BaseChain, Walk

_TOKEN = re.compile(r'"[^"]*"|[{},]|[^\s{},]+')
_FINAL = {"accept": ACCEPT, "drop": DROP, "reject": REJECT, "return": RETURN}


@dataclass(frozen=True, slots=True)
class _Goto:
    chain: str
    is_jump: bool


_Result = str | _Goto | None
"""A verdict, a jump, or None: go on with the rule."""
_NO_MATCH = "no match"
_Value = Callable[[Walk], str]
_Operation = Callable[[Walk, "NftRules"], _Result]


class _Parser:
    """One rule text into operations, in order."""

    def __init__(self, rule: str) -> None:
        self._tokens = _TOKEN.findall(rule)
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, *expected: str) -> str:
        word = self._peek()
        if expected and word not in expected:
            raise ValueError(f"the tracer expected {' or '.join(expected)} and found {word!r}")
        self._at += 1
        return word

    def operations(self) -> Iterator[_Operation]:
        while self._peek():
            yield self._operation()

    def _operation(self) -> _Operation:
        word = self._peek()
        if word == "comment":
            self._at += 2
            return lambda walk, rules: None
        if word in _FINAL:
            self._take()
            return lambda walk, rules: _FINAL[word]
        if word in ("jump", "goto"):
            self._take()
            target = _Goto(self._take(), word == "jump")
            return lambda walk, rules: target
        if word == "masquerade":
            self._take()
            self._at += self._peek() == "fully-random"
            return _masquerade
        if word == "dnat":
            return self._dnat()
        if word == "update":
            return self._update()
        if word == "ct":
            return self._conntrack()
        if word == "meta" and self._tokens[self._at + 1] == "mark":
            return self._mark()
        return self._match()

    def _update(self) -> _Operation:
        self._take("update")
        name = self._take()[1:]
        self._take("{")
        value = self._expression()
        self._take("}")

        def update(walk: Walk, rules: NftRules) -> _Result:
            walk.memory.setdefault(name, set()).add(value(walk))
            return None

        return update

    def _conntrack(self) -> _Operation:
        self._take("ct")
        what, wanted = self._take("state", "status"), self._take()

        def matches(walk: Walk, rules: NftRules) -> _Result:
            if what == "status":
                found = wanted == "dnat" and walk.translated
            else:
                found = walk.packet.state.lower() in wanted.split(",")
            return None if found else _NO_MATCH

        return matches

    def _mark(self) -> _Operation:
        self._at += 2
        if self._take("set", "&") == "set":
            self._take("meta")
            self._take("mark")
            operator, bits = self._take("|", "^"), int(self._take(), 0)

            def change(walk: Walk, rules: NftRules) -> _Result:
                walk.mark = walk.mark | bits if operator == "|" else walk.mark ^ bits
                return None

            return change
        mask, operator, wanted = int(self._take(), 0), self._take("!=", "=="), int(self._take(), 0)

        def matches(walk: Walk, rules: NftRules) -> _Result:
            return None if ((walk.mark & mask) == wanted) == (operator == "==") else _NO_MATCH

        return matches

    def _dnat(self) -> _Operation:
        self._take("dnat")
        if self._peek() in ("ip", "ip6"):
            self._take()
        self._take("to")
        if self._peek() not in ("numgen", "ip", "ip6", "meta"):
            host, _, port = self._take().rpartition(":")
            target = (host.strip("[]"), int(port))
            return lambda walk, rules: _translate(walk, *target)
        value = self._expression()
        self._take("map")
        lookup = self._lookup()

        def translate(walk: Walk, rules: NftRules) -> _Result:
            found = lookup(value(walk), walk, rules)
            if found is None:
                return _NO_MATCH
            address, _, port = found.partition(" . ")
            return _translate(walk, address, int(port))

        return translate

    def _lookup(self) -> Callable[[str, Walk, NftRules], str | None]:
        """A map: `@name`, or written out."""
        if self._peek().startswith("@"):
            name = self._take()[1:]
            return lambda key, walk, rules: rules.elements(name).get(key)
        pairs = self._written_map()
        return lambda key, walk, rules: pairs.get(key)

    def _written_map(self) -> Mapping[str, str]:
        self._take("{")
        pairs: dict[str, str] = {}
        words: list[str] = []
        while True:
            word = self._take()
            if word in (",", "}"):
                at = words.index(":")
                pairs[" ".join(words[:at])] = " ".join(words[at + 1 :])
                words = []
                if word == "}":
                    return pairs
            else:
                words.append(word)

    def _primary(self) -> _Value:
        word = self._take()
        if word in ("ip", "ip6"):
            side = self._take("saddr", "daddr")
            return (lambda walk: walk.packet.source) if side == "saddr" else _address
        if word == "meta":
            self._take("l4proto")
            return lambda walk: walk.packet.protocol
        if word in ("th", "tcp", "udp", "sctp"):
            self._take("dport")
            return lambda walk: str(walk.port)
        if word == "numgen":
            self._take("random")
            self._take("mod")
            count = int(self._take())
            return lambda walk: str(walk.choices.pick(count))
        if word == "fib":
            side = self._take("saddr", "daddr")
            self._take("type")
            return lambda walk: _address_type(walk, side)
        raise ValueError(f"the tracer does not know the nftables word {word!r}")

    def _expression(self) -> _Value:
        parts = [self._primary()]
        while self._peek() == ".":
            self._take()
            parts.append(self._primary())
        return lambda walk: " . ".join(part(walk) for part in parts)

    def _match(self) -> _Operation:
        value = self._expression()
        negated = self._peek() in ("!=", "==") and self._take() == "!="
        if self._peek() == "vmap":
            self._take()
            return _verdict_map(value, self._lookup())
        if self._peek().startswith("@"):
            name = self._take()[1:]
            return _member(value, name, negated)
        wanted = self._alternatives()

        def matches(walk: Walk, rules: NftRules) -> _Result:
            return None if _is_one_of(value(walk), wanted) != negated else _NO_MATCH

        return matches

    def _alternatives(self) -> list[str]:
        if self._peek() != "{":
            return [self._take()]
        self._take()
        found = []
        while (word := self._take()) != "}":
            if word != ",":
                found.append(word)
        return found


def _address(walk: Walk) -> str:
    return walk.address


def _address_type(walk: Walk, side: str) -> str:
    subject = walk.packet.source if side == "saddr" else walk.address
    return "local" if walk.host.is_local(subject) else "unicast"


def _is_one_of(value: str, wanted: list[str]) -> bool:
    return any(is_in(value, w) if "/" in w else value == w for w in wanted)


def _masquerade(walk: Walk, rules: NftRules) -> _Result:
    walk.masqueraded = True
    return ACCEPT


def _translate(walk: Walk, address: str, port: int) -> _Result:
    walk.translate(address, port)
    return ACCEPT


def _member(value: _Value, name: str, negated: bool) -> _Operation:
    def matches(walk: Walk, rules: NftRules) -> _Result:
        key = value(walk)
        found = key in rules.elements(name) or key in walk.memory.get(name, ())
        return None if found != negated else _NO_MATCH

    return matches


def _verdict_map(value: _Value, lookup: Callable[[str, Walk, NftRules], str | None]) -> _Operation:
    def dispatch(walk: Walk, rules: NftRules) -> _Result:
        verdict = lookup(value(walk), walk, rules)
        if verdict is None:
            return _NO_MATCH
        word, _, chain = verdict.partition(" ")
        return _Goto(chain, word == "jump") if chain else _FINAL[word]

    return dispatch


@lru_cache(maxsize=50_000)
def _parse(rule: str) -> tuple[_Operation, ...]:
    return tuple(_Parser(rule).operations())


class NftRules:
    """One table, as a source of rules for `trace`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def elements(self, name: str) -> Mapping[str, str]:
        return self._table.sets[name].elements

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
        chain: Chain = self._table.chains[name]
        for text in chain.rules:
            result = self._rule(walk, text)
            if result in (None, _NO_MATCH):
                if result is None:
                    walk.note(f"{self._table.name} {name}", text, "continue")
                continue
            walk.note(f"{self._table.name} {name}", text, _action(result, walk))
            if result == RETURN:
                return CONTINUE
            if isinstance(result, _Goto):
                verdict = self._chain(walk, result.chain)
                if verdict != CONTINUE or not result.is_jump:
                    return verdict
                continue
            assert isinstance(result, str)
            return result
        return CONTINUE

    def _rule(self, walk: Walk, text: str) -> _Result:
        for operation in _parse(text):
            result = operation(walk, self)
            if result is not None:
                return result
        return None


def _action(result: _Result, walk: Walk) -> str:
    if isinstance(result, _Goto):
        return f"{'jump' if result.is_jump else 'goto'} {result.chain}"
    if result == ACCEPT and walk.masqueraded:
        return "masquerade"
    if result == ACCEPT and walk.translated:
        return f"dnat {walk.address}:{walk.port}"
    return str(result)
