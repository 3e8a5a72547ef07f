"""ipsets as values, diffed into commands, and looked up by the tracer.

https://ipset.netfilter.org/ipset.man.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from netemu.netstate.packet import is_in


@dataclass(frozen=True, slots=True, kw_only=True)
class SetValue:
    """One set. Entries are as `ipset save` prints them: `10.96.0.10,udp:53`, `30080`."""

    name: str
    kind: str
    """hash:ip, hash:ip,port, hash:ip,port,ip, hash:ip,port,net or bitmap:port."""
    entries: frozenset[str] = frozenset()
    family: int = 4
    comment: str = ""

    def contains(
        self, directions: str, source: str, protocol: str, address: str, port: int
    ) -> bool:
        """Whether a packet is in the set; `directions` as in `--match-set NAME dst,dst,src`."""
        places = directions.split(",")
        addresses = {"src": source, "dst": address}
        if self.kind == "bitmap:port":
            return str(port) in self.entries
        first = addresses[places[0]]
        if self.kind == "hash:ip":
            return first in self.entries
        head = f"{first},{protocol}:{port}"
        if self.kind == "hash:ip,port":
            return head in self.entries
        third = addresses[places[2]]
        if self.kind == "hash:ip,port,ip":
            return f"{head},{third}" in self.entries
        return any(
            entry.startswith(head + ",") and is_in(third, entry[len(head) + 1 :])
            for entry in self.entries
        )


class Command(NamedTuple):
    """One step, named as the program ipset names it: create, destroy, add or del."""

    verb: str
    name: str
    kind: str
    """Of the set; with `family` it tells how the set and its entries are written."""
    family: int = 4
    entry: str = ""

    @property
    def text(self) -> str:
        return f"ipset {self.verb} {self.name} {self.entry or self.kind}"


def create(value: SetValue) -> Command:
    """The set itself, empty."""
    return Command("create", value.name, value.kind, value.family)


def diff(old: Mapping[str, SetValue], new: Mapping[str, SetValue]) -> list[Command]:
    """The way from `old` to `new`; sets that are gone stay, as rules may still use them."""
    commands: list[Command] = []
    for name in sorted(new):
        before, after = old.get(name), new[name]
        if before is None:
            commands.append(create(after))
        held = before.entries if before is not None else frozenset()
        for verb, entries in (("del", held - after.entries), ("add", after.entries - held)):
            commands += [
                Command(verb, name, after.kind, after.family, entry) for entry in sorted(entries)
            ]
    return commands
