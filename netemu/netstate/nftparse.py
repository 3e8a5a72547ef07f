"""The text of an nftables rule, as `nft` prints it, read into the tree of `nftrule`.

What the proxy's tables have no use for raises ValueError, as a wrong verdict, or wrong bytes, would
be worse than none.
https://www.netfilter.org/projects/nftables/manpage.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from netemu.netstate.nftrule import (
    AddressType,
    Conntrack,
    DnatMap,
    DnatTo,
    Field,
    Lookup,
    MarkSet,
    MarkTest,
    Masquerade,
    Match,
    Numgen,
    Operation,
    Primary,
    Rule,
    Update,
    Value,
    Verdict,
    VerdictMap,
)

_TOKEN = re.compile(r'"[^"]*"|[{},]|[^\s{},]+')
_VERDICTS = ("accept", "drop", "reject", "return")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def rule(self) -> Rule:
        operations: list[Operation] = []
        comment = ""
        while word := self._peek():
            if word == "comment":
                self._at += 1
                comment = self._take().strip('"')
            else:
                operations.append(self._operation(word))
        return Rule(tuple(operations), comment)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, *expected: str) -> str:
        word = self._peek()
        if expected and word not in expected:
            raise ValueError(f"expected {' or '.join(expected)} in a rule, found {word!r}")
        self._at += 1
        return word

    def _has(self, word: str) -> bool:
        found = self._peek() == word
        self._at += found
        return found

    def _operation(self, word: str) -> Operation:
        if word in _VERDICTS:
            return Verdict(self._take())
        if word in ("jump", "goto"):
            return Verdict(self._take(), self._take())
        if self._has("masquerade"):
            return Masquerade(self._has("fully-random"))
        if self._has("dnat"):
            return self._dnat()
        if self._has("update"):
            return self._update()
        if self._has("ct"):
            return Conntrack(self._take("state", "status"), self._take("new", "dnat"))
        if word == "meta" and self._tokens[self._at + 1] == "mark":
            self._at += 2
            return self._mark()
        return self._match()

    def _update(self) -> Update:
        name = self._take()[1:]
        self._take("{")
        value = self._value()
        self._take("}")
        return Update(name, value)

    def _mark(self) -> Operation:
        if self._has("set"):
            self._take("meta")
            self._take("mark")
            return MarkSet(self._take("|", "^"), int(self._take(), 0))
        self._take("&")
        mask, operator, wanted = self._take(), self._take("!=", "=="), self._take()
        return MarkTest(int(mask, 0), int(wanted, 0), operator == "!=")

    def _dnat(self) -> Operation:
        if self._peek() in ("ip", "ip6"):
            self._take()
        self._take("to")
        if self._peek() in ("numgen", "ip", "ip6", "meta"):
            value = self._value()
            self._take("map")
            return DnatMap(value, self._lookup())
        host, _, port = self._take().rpartition(":")
        return DnatTo(host.strip("[]"), int(port))

    def _lookup(self) -> Lookup:
        return self._take()[1:] if self._peek().startswith("@") else self._pairs()

    def _pairs(self) -> Mapping[str, str]:
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
            elif not word:
                raise ValueError("a map in a rule has no end")
            else:
                words.append(word)

    def _primary(self) -> Primary:
        word = self._take()
        if word in ("ip", "ip6"):
            return Field(self._take("saddr", "daddr"))
        if word == "meta":
            return Field(self._take("l4proto"))
        if word == "th":
            return Field(self._take("dport"))
        if word == "numgen":
            self._take("random")
            self._take("mod")
            return Numgen(int(self._take()))
        if word == "fib":
            side = self._take("saddr", "daddr")
            self._take("type")
            return AddressType(side)
        raise ValueError(f"unknown word in a rule: {word!r}")

    def _value(self) -> Value:
        parts = [self._primary()]
        while self._has("."):
            parts.append(self._primary())
        return tuple(parts)

    def _match(self) -> Operation:
        value = self._value()
        negated = self._has("!=")
        if self._has("vmap"):
            return VerdictMap(value, self._lookup())
        if self._peek().startswith("@"):
            return Match(value, (), self._take()[1:], negated)
        return Match(value, self._alternatives(), "", negated)

    def _alternatives(self) -> tuple[str, ...]:
        if not self._has("{"):
            return (self._take(),)
        found: list[str] = []
        while (word := self._take()) != "}":
            if not word:
                raise ValueError("a set in a rule has no end")
            if word != ",":
                found.append(word)
        return tuple(found)


@lru_cache(maxsize=20_000)
def parse(text: str) -> Rule:
    """The rule that `text` says."""
    return _Parser(text).rule()
