"""The iptables evaluator: the matches and targets that kube-proxy, flannel and IPVS mode use.

An option it does not know raises ValueError: a wrong verdict would be worse than none.
https://man7.org/linux/man-pages/man8/iptables-extensions.8.html
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from netemu.netstate.ipset import SetValue
from netemu.netstate.iptables import Tables
from netemu.netstate.packet import is_in
from netemu.netstate.trace.walk import ACCEPT, CONTINUE, DROP, REJECT, RETURN, BaseChain, Walk

_PRIORITIES = {
    "raw": {"prerouting": -300, "output": -300},
    "mangle": dict.fromkeys(("prerouting", "input", "forward", "output", "postrouting"), -150),
    "nat": {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100},
    "filter": {"input": 0, "forward": 0, "output": 0},
}

_FLAGS = {"--reap", "--set", "--rsource", "--physdev-is-in", "--random-fully", "--rcheck"}
_IGNORED = {"-m", "--match", "--comment", "--mask", "--rsource", "--reap", "--mode", "--seconds"}
_IGNORED |= {"--random-fully", "--reject-with", "--persistent"}


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    values: tuple[str, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    options: tuple[_Option, ...]
    target: str = ""
    is_goto: bool = False
    arguments: Mapping[str, str] = field(default_factory=dict)


def _words(rule: str) -> Iterator[tuple[str, bool, list[str]]]:
    """(option, negated, values) of a rule text."""
    tokens = shlex.split(rule)
    at, negated = 0, False
    while at < len(tokens):
        word = tokens[at]
        at += 1
        if word == "!":
            negated = True
            continue
        count = 0 if word in _FLAGS else 2 if word == "--match-set" else 1
        yield word, negated, tokens[at : at + count]
        at, negated = at + count, False


@lru_cache(maxsize=100_000)
def _parse(rule: str) -> _Rule:
    options, target, is_goto, arguments = [], "", False, {}
    for word, negated, values in _words(rule):
        if word in ("-j", "-g"):
            target, is_goto = values[0], word == "-g"
        elif target:
            arguments[word] = values[0] if values else ""
        elif word not in _IGNORED:
            options.append(_Option(word, tuple(values), negated))
    return _Rule(tuple(options), target, is_goto, arguments)


def _source_matches(walk: Walk, option: _Option) -> bool:
    return any(is_in(walk.packet.source, cidr) for cidr in option.values[0].split(","))


def _destination_matches(walk: Walk, option: _Option) -> bool:
    return any(is_in(walk.address, cidr) for cidr in option.values[0].split(","))


def _ports(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last or first) + 1)


def _state_matches(walk: Walk, option: _Option) -> bool:
    wanted = option.values[0].split(",")
    return walk.packet.state in wanted or ("DNAT" in wanted and walk.translated)


def _mark_matches(walk: Walk, option: _Option) -> bool:
    value, _, mask = option.values[0].partition("/")
    return walk.mark & int(mask or "0xffffffff", 0) == int(value, 0)


def _type_matches(address: str) -> Callable[[Walk, _Option], bool]:
    def matches(walk: Walk, option: _Option) -> bool:
        subject = walk.packet.source if address == "source" else walk.address
        return walk.host.is_local(subject) == (option.values[0] == "LOCAL")

    return matches


_MATCHES: dict[str, Callable[[Walk, _Option], bool]] = {
    "-s": _source_matches,
    "-d": _destination_matches,
    "-p": lambda walk, option: option.values[0] in (walk.packet.protocol, "all"),
    "--dport": lambda walk, option: walk.port in _ports(option.values[0]),
    "--sport": lambda walk, option: walk.packet.source_port in _ports(option.values[0]),
    "--ctstate": _state_matches,
    "--mark": _mark_matches,
    "--dst-type": _type_matches("destination"),
    "--src-type": _type_matches("source"),
    # The virtual server of an IPVS connection is where its packet was sent to.
    "--vaddr": lambda walk, option: walk.packet.destination == option.values[0],
    "--vproto": lambda walk, option: walk.packet.protocol == option.values[0],
    "--vport": lambda walk, option: walk.packet.destination_port == int(option.values[0]),
    "--physdev-is-in": lambda walk, option: False,
    "-i": lambda walk, option: option.values[0] == "lo" and walk.host.is_local(walk.packet.source),
}


class IptablesRules:
    """The tables of one node, as a source of rules for `trace`."""

    def __init__(self, tables: Tables, sets: Mapping[str, SetValue] | None = None) -> None:
        self._tables, self._sets = tables, sets or {}

    def at(self, hook: str) -> Iterator[BaseChain]:
        for table, chains in self._tables.items():
            priority = _PRIORITIES.get(table, {}).get(hook)
            if priority is not None and hook.upper() in chains:
                yield BaseChain(priority, self._runner(table, hook.upper()), table == "nat")

    def _runner(self, table: str, chain: str) -> Callable[[Walk], str]:
        def run(walk: Walk) -> str:
            verdict = self._chain(walk, table, chain)
            return ACCEPT if verdict in (CONTINUE, RETURN) else verdict

        return run

    def _chain(self, walk: Walk, table: str, chain: str) -> str:
        for text in self._tables[table].get(chain, ()):
            rule = _parse(text)
            if not rule.target or not self._matches(walk, rule.options):
                continue
            walk.note(f"{table} {chain}", text, _action(rule))
            verdict = self._target(walk, table, rule)
            if verdict == RETURN:
                return CONTINUE
            if verdict != CONTINUE or rule.is_goto:
                return verdict
        return CONTINUE

    def _matches(self, walk: Walk, options: Sequence[_Option]) -> bool:
        recent = ""
        for option in options:
            if option.name == "--name":
                recent = option.values[0]
        for option in options:
            if option.name == "--name":
                continue
            if self._option(walk, option, recent) == option.negated:
                return False
        return True

    def _option(self, walk: Walk, option: _Option, recent: str) -> bool:
        if option.name == "--probability":
            return walk.choices.pick(2) == 0
        if option.name == "--rcheck":
            return walk.packet.source in walk.memory.get(recent, ())
        if option.name == "--set":
            walk.memory.setdefault(recent, set()).add(walk.packet.source)
            return True
        if option.name == "--match-set":
            name, directions = option.values
            found = self._sets.get(name)
            return found is not None and found.contains(
                directions, walk.packet.source, walk.packet.protocol, walk.address, walk.port
            )
        check = _MATCHES.get(option.name)
        if check is None:
            raise ValueError(f"the tracer does not know the iptables option {option.name}")
        return check(walk, option)

    def _target(self, walk: Walk, table: str, rule: _Rule) -> str:
        target = rule.target
        if target in self._tables[table]:
            return self._chain(walk, table, target)
        if target in ("ACCEPT", "DROP", "REJECT", "RETURN"):
            return {"ACCEPT": ACCEPT, "DROP": DROP, "REJECT": REJECT, "RETURN": RETURN}[target]
        if target == "MARK":
            walk.mark = _marked(walk.mark, rule.arguments)
            return CONTINUE
        if target == "DNAT":
            host, _, port = rule.arguments["--to-destination"].rpartition(":")
            walk.translate(host.strip("[]"), int(port))
            return ACCEPT
        if target == "MASQUERADE":
            walk.masqueraded = True
            return ACCEPT
        if target.isupper() and "-" in target:
            return CONTINUE  # a jump to a chain that is not there: an owner's, still empty
        raise ValueError(f"the tracer does not know the iptables target {target}")


def _marked(mark: int, arguments: Mapping[str, str]) -> int:
    for option, text in arguments.items():
        value, _, mask = text.partition("/")
        number = int(value, 0)
        if option == "--or-mark":
            return mark | number
        if option == "--xor-mark":
            return mark ^ number
        if option == "--and-mark":
            return mark & number
        bits = int(mask or "0xffffffff", 0)
        if option == "--set-xmark":
            return (mark & ~bits) ^ number
        if option == "--set-mark":
            return (mark & ~bits) | number
    raise ValueError(f"the tracer does not know MARK {dict(arguments)}")


def _action(rule: _Rule) -> str:
    arguments = " ".join(v for v in rule.arguments.values() if v)
    verb = rule.target.lower() if rule.target.isalpha() else f"jump {rule.target}"
    return f"{verb} {arguments}".strip()
