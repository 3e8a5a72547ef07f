"""Which Services hold which sets' entries, addresses and virtual servers; what a change changes.

Several may hold the same entry or address: an endpoint of two Services, two ports of one address.
It goes with the last one. A virtual server is one Service's alone (`claims.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from netemu.netstate.ipset import Command
from netemu.netstate.iptables import Tables
from netemu.netstate.ipvs import Server, Servers, Virtual
from netemu.proxy.endpoints import Service
from netemu.proxy.ipvs import IpvsConfig, ServiceIpvs, compile_service, merge
from netemu.proxy.ipvsrules import rules_of
from netemu.proxy.ipvssets import entry_command, set_name
from netemu.proxy.model import NodeView

_T = TypeVar("_T")

Entry = tuple[str, str]
"""A set's name, without the family's prefix, and what stands in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What some changed Services mean to the kernel."""

    old: Servers
    """The virtual servers that they had, as they were."""
    new: Servers
    wanted: frozenset[str]
    """Addresses that they have, and nobody had."""
    unwanted: frozenset[str]
    """Addresses that they had, and nobody has now."""
    commands: tuple[Command, ...]


class Books:
    """What IPVS mode wants on `node`, Service by Service."""

    def __init__(self, services: Mapping[str, Sequence[Service]], node: NodeView) -> None:
        self._node = node
        self.servers: dict[Virtual, Server] = {}
        self._compiled: dict[str, list[ServiceIpvs]] = {}
        self._entries: Counter[Entry] = Counter()
        self._filled: Counter[str] = Counter()
        """Entries by set."""
        self._addresses: Counter[str] = Counter()
        self._shut_out: Counter[tuple[str, str, int]] = Counter()
        for key in sorted(services):
            self._add(key, [compile_service(s, node) for s in services[key]])

    def config(self) -> IpvsConfig:
        """All of it at once."""
        return merge(
            [one for key in sorted(self._compiled) for one in self._compiled[key]], self._node
        )

    def tables(self) -> Tables:
        """The iptables rules that go with what the sets hold."""
        return rules_of(self._filled, self._shut_out, self._node)

    def change(self, changes: Iterable[tuple[str, Sequence[Service]]]) -> Step:
        """The step that (key, new ports) takes; it counts as done."""
        fresh = {key: [compile_service(s, self._node) for s in new] for key, new in changes}
        touched = [one for ones in fresh.values() for one in ones]
        touched += [one for key in fresh for one in self._compiled.get(key, ())]
        entries = {entry for one in touched for entry in _entries(one)}
        virtuals = {virtual for one in touched for virtual in one.servers}
        addresses = frozenset(address for one in touched for address in one.addresses)
        held, old = entries & self._entries.keys(), self._standing(virtuals)
        bound = self._bound(addresses)
        for key in fresh:
            self._remove(key)
        for key, ones in fresh.items():
            self._add(key, ones)
        binding = self._bound(addresses)
        commands = tuple(
            entry_command(entry in self._entries, *entry, self._node.family)
            for entry in sorted(entries)
            if (entry in self._entries) != (entry in held)
        )
        return Step(old, self._standing(virtuals), binding - bound, bound - binding, commands)

    def owner(self, command: Command) -> str:
        """The Service that the entry of `command` is there for."""
        for key, ones in self._compiled.items():
            for name, entry in (found for one in ones for found in _entries(one)):
                if entry == command.entry and command.name == set_name(name, self._node.family):
                    return f"Service {key}"
        return ""

    def _bound(self, addresses: frozenset[str]) -> frozenset[str]:
        """Those in use; not what the node has anyway."""
        return addresses & self._addresses.keys() - {*self._node.addresses, self._node.address}

    def _standing(self, virtuals: Iterable[Virtual]) -> Servers:
        return {v: self.servers[v] for v in virtuals if v in self.servers}

    def _add(self, key: str, ones: list[ServiceIpvs]) -> None:
        if ones:
            self._compiled[key] = ones
        for one in ones:
            self._count(one, 1)
            self.servers.update(one.servers)

    def _remove(self, key: str) -> None:
        for one in self._compiled.pop(key, ()):
            self._count(one, -1)
            for virtual in one.servers:
                self.servers.pop(virtual, None)

    def _count(self, one: ServiceIpvs, by: int) -> None:
        for entry in _entries(one):
            _add_to(self._entries, entry, by)
            _add_to(self._filled, entry[0], by)
        for address in one.addresses:
            _add_to(self._addresses, address, by)
        for where in one.no_node_access:
            _add_to(self._shut_out, where, by)


def _add_to(counts: Counter[_T], key: _T, by: int) -> None:
    """What nobody holds has no count."""
    counts[key] += by
    if not counts[key]:
        del counts[key]


def _entries(one: ServiceIpvs) -> Iterable[Entry]:
    return ((name, entry) for name, entries in one.entries.items() for entry in entries)
