"""ipsets as values, rendered for `ipset restore`, diffed, and looked up by the tracer.

https://ipset.netfilter.org/ipset.man.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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

    @property
    def options(self) -> str:
        if self.kind == "bitmap:port":
            return "range 0-65535"
        family = "inet6" if self.family == 6 else "inet"
        return f"family {family} hashsize 1024 maxelem 65536"

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


def render(sets: Mapping[str, SetValue]) -> str:
    """Commands for `ipset restore -exist` that make all of `sets` anew."""
    return "".join(line for name in sorted(sets) for line in _create(sets[name]))


def _create(value: SetValue) -> Iterator[str]:
    yield f"create {value.name} {value.kind} {value.options}\n"
    for entry in sorted(value.entries):
        yield f"add {value.name} {entry}\n"


def diff(old: Mapping[str, SetValue], new: Mapping[str, SetValue]) -> str:
    """Commands that lead from `old` to `new`; sets that are gone are left to `destroy`."""
    lines: list[str] = []
    for name in sorted(new):
        before, after = old.get(name), new[name]
        if before is None:
            lines += _create(after)
            continue
        lines += [f"del {name} {entry}\n" for entry in sorted(before.entries - after.entries)]
        lines += [f"add {name} {entry}\n" for entry in sorted(after.entries - before.entries)]
    return "".join(lines)


def destroy(names: Mapping[str, SetValue]) -> str:
    return "".join(f"destroy {name}\n" for name in sorted(names))


def parse(saved: str) -> dict[str, SetValue]:
    """The sets of an `ipset save` text."""
    kinds: dict[str, tuple[str, int]] = {}
    entries: dict[str, set[str]] = {}
    for line in saved.splitlines():
        words = line.split()
        if words[:1] == ["create"]:
            kinds[words[1]] = (words[2], 6 if "inet6" in words else 4)
        elif words[:1] == ["add"]:
            entries.setdefault(words[1], set()).add(words[2])
    return {
        name: SetValue(
            name=name, kind=kind, family=family, entries=frozenset(entries.get(name, ()))
        )
        for name, (kind, family) in kinds.items()
    }
