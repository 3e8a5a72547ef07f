"""iptables tables as values: chains of rule texts, rendered for -restore, parsed from -save.

A rule is the text after `-A CHAIN `, in the order and spelling of its author. One `Tables` value
holds what one owner (the proxy, the overlay) wants; built-in chains belong to nobody, so an owner
names the jumps it needs there instead.

https://man7.org/linux/man-pages/man8/iptables-restore.8.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Chains = Mapping[str, Sequence[str]]
"""Rules by chain."""
Tables = Mapping[str, Chains]
"""Chains by table: filter, nat, mangle."""

BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})


@dataclass(frozen=True, slots=True)
class Jump:
    """A rule that an owner keeps at the top of a built-in chain."""

    table: str
    chain: str
    target: str
    comment: str = ""
    match: str = ""

    @property
    def rule(self) -> str:
        comment = f'-m comment --comment "{self.comment}" ' if self.comment else ""
        match = f"{self.match} " if self.match else ""
        return f"{match}{comment}-j {self.target}"


@dataclass(frozen=True, slots=True)
class Restore:
    """One transaction for `iptables-restore --noflush`.

    Chains of `tables` are made or emptied, then filled; `inserts` go to the top of built-in chains
    in the order in which they shall be read; `deletes` (with `remove_jumps`, rules of built-in
    chains) go last.
    """

    tables: Tables
    inserts: Sequence[Jump] = ()
    remove_jumps: Sequence[tuple[str, str, str]] = ()
    """(table, chain, rule)"""
    deletes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def render(self) -> str:
        names = dict.fromkeys(
            [
                *self.tables,
                *(jump.table for jump in self.inserts),
                *(table for table, _, _ in self.remove_jumps),
                *self.deletes,
            ]
        )
        return "".join(line for table in names for line in self._table(table))

    def _table(self, table: str) -> Iterator[str]:
        chains = self.tables.get(table, {})
        gone = self.deletes.get(table, ())
        yield f"*{table}\n"
        for chain in [*chains, *(c for c in gone if c not in chains)]:
            yield f":{chain} - [0:0]\n"
        for place, chain, rule in self.remove_jumps:
            if place == table:
                yield f"-D {chain} {rule}\n"
        for jump in reversed([jump for jump in self.inserts if jump.table == table]):
            yield f"-I {jump.chain} {jump.rule}\n"
        for chain, rules in chains.items():
            for rule in rules:
                yield f"-A {chain} {rule}\n"
        for chain in gone:
            yield f"-X {chain}\n"
        yield "COMMIT\n"


def parse(saved: str) -> dict[str, dict[str, list[str]]]:
    """Tables, chains and rules of an `iptables-save` text (or of one for iptables-restore)."""
    tables: dict[str, dict[str, list[str]]] = {}
    chains: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            chains.setdefault(line[1:].split(" ", 1)[0], [])
        elif line.startswith("["):
            # With counters: `[12:720] -A CHAIN rule`.
            _add(chains, line.partition("] ")[2])
        else:
            _add(chains, line)
    return tables


def _add(chains: dict[str, list[str]], line: str) -> None:
    if line.startswith("-A "):
        _, chain, rule = line.split(" ", 2)
        chains.setdefault(chain, []).append(rule)
    elif line.startswith("-I "):
        _, chain, rule = line.split(" ", 2)
        chains.setdefault(chain, []).insert(0, rule)


def jump_target(rule: str) -> str:
    """Where a rule text goes: the word after `-j` or `-g`; empty when it has none."""
    words = rule.split()
    for option in ("-j", "-g"):
        if option in words[:-1]:
            return words[len(words) - 1 - words[::-1].index(option) + 1]
    return ""


def missing_jumps(
    tables: Mapping[str, Mapping[str, Sequence[str]]], jumps: Iterable[Jump]
) -> list[Jump]:
    """Those of `jumps` whose built-in chain does not lead to their target."""
    return [
        jump
        for jump in jumps
        if not any(
            jump_target(rule) == jump.target
            for rule in tables.get(jump.table, {}).get(jump.chain, ())
        )
    ]


def rule_count(tables: Tables) -> int:
    return sum(len(rules) for chains in tables.values() for rules in chains.values())
