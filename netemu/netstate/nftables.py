"""nftables tables as values: rendered whole, or as the transaction from one to another.

Rules are texts in the spelling of `nft list ruleset`. A set is a map without values. Elements are
texts as well: `10.96.0.10 . udp . 53` -> `goto service-…`.
https://www.netfilter.org/projects/nftables/manpage.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`hook` empty: an ordinary chain, reached by jump and goto only."""

    rules: tuple[str, ...] = ()
    kind: str = ""
    hook: str = ""
    priority: int = 0
    comment: str = ""

    @property
    def header(self) -> str:
        """What `add chain` takes between braces."""
        parts = []
        if self.hook:
            parts.append(f"type {self.kind} hook {self.hook} priority {self.priority} ;")
        if self.comment:
            parts.append(f'comment "{self.comment}" ;')
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class NftSet:
    """A set, or with `value` a map. `timeout` in seconds makes it a dynamic set."""

    key: str
    value: str = ""
    timeout: int = 0
    elements: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""

    @property
    def word(self) -> str:
        return "map" if self.value else "set"

    @property
    def header(self) -> str:
        parts = [f"type {self.key}{' : ' + self.value if self.value else ''} ;"]
        if self.timeout:
            parts.append(f"flags dynamic,timeout ; timeout {self.timeout}s ;")
        if self.comment:
            parts.append(f'comment "{self.comment}" ;')
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of one family: what an owner wants in it, and nothing else may be there."""

    family: str
    """ip or ip6."""
    name: str
    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, NftSet] = field(default_factory=dict)
    comment: str = ""

    @property
    def place(self) -> str:
        return f"{self.family} {self.name}"


_BATCH = 200
"""Elements in one `add element` line."""


def _elements(table: Table, name: str, elements: Mapping[str, str]) -> Iterator[str]:
    listed = [f"{key} : {value}" if value else key for key, value in elements.items()]
    for at in range(0, len(listed), _BATCH):
        yield f"add element {table.place} {name} {{ {', '.join(listed[at : at + _BATCH])} }}\n"


def _new_set(table: Table, name: str, value: NftSet) -> Iterator[str]:
    yield f"add {value.word} {table.place} {name} {{ {value.header} }}\n"
    yield from _elements(table, name, value.elements)


def _new_chain(table: Table, name: str, chain: Chain) -> str:
    header = f" {{ {chain.header} }}" if chain.header else ""
    return f"add chain {table.place} {name}{header}\n"


def _add_table(table: Table) -> str:
    comment = f' {{ comment "{table.comment}" ; }}' if table.comment else ""
    return f"add table {table.place}{comment}\n"


def render(table: Table) -> str:
    """A transaction after which the table holds exactly this, whatever it held before."""
    lines = [f"add table {table.place}\n", f"delete table {table.place}\n", _add_table(table)]
    lines += [_new_chain(table, name, chain) for name, chain in table.chains.items()]
    for name, value in table.sets.items():
        lines += _new_set(table, name, value)
    for name, chain in table.chains.items():
        lines += [f"add rule {table.place} {name} {rule}\n" for rule in chain.rules]
    return "".join(lines)


@dataclass(slots=True)
class Delta:
    """What to change in a table: the compiler's incremental output, or a diff."""

    chains: dict[str, Chain] = field(default_factory=dict)
    """New or changed chains."""
    dropped_chains: list[str] = field(default_factory=list)
    sets: dict[str, NftSet] = field(default_factory=dict)
    """New sets, with their elements."""
    dropped_sets: dict[str, str] = field(default_factory=dict)
    """Name -> `set` or `map`."""
    added: dict[str, dict[str, str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    """Elements of sets that stay, by set."""

    def __bool__(self) -> bool:
        return bool(
            self.chains
            or self.dropped_chains
            or self.sets
            or self.dropped_sets
            or any(self.added.values())
            or any(self.removed.values())
        )


def diff(old: Table, new: Table) -> Delta:
    """What leads from `old` to `new`."""
    delta = Delta(
        chains={n: c for n, c in new.chains.items() if old.chains.get(n) != c},
        dropped_chains=[n for n in old.chains if n not in new.chains],
        sets={n: s for n, s in new.sets.items() if n not in old.sets},
        dropped_sets={n: s.word for n, s in old.sets.items() if n not in new.sets},
    )
    for name, value in new.sets.items():
        before = old.sets[name].elements if name in old.sets else value.elements
        if before is value.elements:
            continue
        removed = [k for k, v in before.items() if value.elements.get(k) != v]
        added = {k: v for k, v in value.elements.items() if before.get(k) != v}
        if removed:
            delta.removed[name] = removed
        if added:
            delta.added[name] = added
    return delta
