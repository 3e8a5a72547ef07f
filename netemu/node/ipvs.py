"""IPVS mode in a node's kernel: ipsets, a fixed set of iptables rules, kube-ipvs0, virtual servers.

A change of endpoints is a few netlink messages over sockets that stay open. A TCP server that goes
while it has connections gets weight 0 first and is removed once they have ended; UDP and SCTP
servers go at once.
https://github.com/kubernetes/kubernetes/blob/release-1.33/pkg/proxy/ipvs/graceful_termination.go
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netemu.errors import DataplaneError
from netemu.netstate import ipset
from netemu.netstate import ipvswire as wire
from netemu.netstate.ipset import Command
from netemu.netstate.iptables import Restore, missing_jumps
from netemu.netstate.ipvs import Real, Server, Servers, Virtual, diff
from netemu.node import netns
from netemu.node.ipset import IpsetSocket
from netemu.node.iptables import IptablesTool, clean_iptables
from netemu.node.ipvssocket import GONE, IpvsSocket, Request
from netemu.node.placeholders import Placeholders
from netemu.node.proxybackend import Change, Services, in_order
from netemu.proxy import ipvs as layout
from netemu.proxy.model import NodeView

_EEXIST = 17
_SYSCTLS = {
    "ipv4/vs/conntrack": "1",
    "ipv4/vs/expire_nodest_conn": "1",
    "ipv4/vs/expire_quiescent_template": "1",
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/arp_announce": "2",
}


class _Kernel:
    """What is kept open into the node's namespace."""

    def __init__(self, path: str, family: int) -> None:
        self.ipvs = IpvsSocket(path)
        self.ipset = IpsetSocket(path)
        self.addresses = Placeholders(path, layout.DEVICE, family)

    def close(self) -> None:
        self.ipvs.close()
        self.ipset.close()
        self.addresses.close()


class IpvsBackend:
    """IPVS mode on one node, one family."""

    def __init__(self, path: str, family: int = 4, lock_file: str = "") -> None:
        self._path, self._family = path, family
        self._iptables = IptablesTool(path, family, lock_file)
        self._opened: _Kernel | None = None
        self._compiled: dict[str, list[layout.ServiceIpvs]] = {}
        self._servers: dict[Virtual, Server] = {}
        self._entries: Counter[tuple[str, str]] = Counter()
        self._filled: Counter[str] = Counter()
        """Entries by set."""
        self._bound: Counter[str] = Counter()
        self._shut_out: Counter[tuple[str, str, int]] = Counter()
        self._rules: object = None
        self._draining: set[tuple[Virtual, Real]] = set()
        """Servers with weight 0 that still have connections."""

    # --- full -------------------------------------------------------------------------------

    async def replace(self, services: Services, node: NodeView) -> None:
        """Sets come before the rules that look into them; servers while iptables works."""
        compiling = asyncio.to_thread(_compile, services, node)
        (compiled, config), _, saved = await _all_of(
            compiling, asyncio.to_thread(self._prepare), self._iptables.save()
        )
        rules = Restore(tables=config.tables, inserts=missing_jumps(saved, layout.JUMPS))
        self._compiled = compiled

        async def filters() -> None:
            await asyncio.to_thread(self._replace_sets, config)
            await self._iptables.restore(rules.render())

        def servers() -> None:
            observed = self._kernel.ipvs.observe_servers(self._family)
            self._apply_servers(observed, config.servers)
            wanted, held = set(config.addresses), self._kernel.addresses.held
            self._kernel.addresses.bind(wanted - held, held - wanted)
            self._entries, self._bound = Counter(), Counter()
            self._filled, self._shut_out = Counter(), Counter()
            for ones in compiled.values():
                self._count(ones, 1)

        await _all_of(filters(), asyncio.to_thread(servers))
        self._servers = dict(config.servers)
        self._rules = config.tables

    @property
    def _kernel(self) -> _Kernel:
        if self._opened is None:
            raise DataplaneError(self._path, "change rules", stderr="no full sync yet")
        return self._opened

    def _prepare(self) -> None:
        if self._opened is None:
            self._opened = _Kernel(self._path, self._family)
            netns.call_in(self._path, _write_sysctls)
        self._opened.addresses.prepare()

    def _replace_sets(self, config: layout.IpvsConfig) -> None:
        self._apply_sets(ipset.diff(self._kernel.ipset.observe_sets(), config.sets))

    def _apply_sets(self, commands: Sequence[Command]) -> None:
        self._kernel.ipset.apply(commands, self._owner)

    def _owner(self, command: Command) -> str:
        """The Service that an entry is there for."""
        for key, ones in self._compiled.items():
            for name, entry in _entries(ones):
                if entry == command.entry and command.name == layout.set_name(name, self._family):
                    return f"Service {key}"
        return ""

    def _apply_servers(self, old: Servers, new: Servers) -> None:
        changes = diff(old, new)
        requests: list[Request] = [
            (wire.NEW_SERVICE, virtual, new[virtual], None) for virtual in changes.added
        ]
        requests += [(wire.SET_SERVICE, virtual, new[virtual], None) for virtual in changes.updated]
        returning = []
        if self._draining:
            returning = [pair for pair in changes.added_reals if self._is_draining(*pair)]
        requests += [(wire.DEL_DEST, virtual, None, real) for virtual, real in returning]
        self._draining -= {(v, Real(r.address, r.port, 0)) for v, r in returning}
        self._kernel.ipvs.apply_requests(requests, ignore=GONE)
        requests = [(wire.NEW_DEST, virtual, None, real) for virtual, real in changes.added_reals]
        self._kernel.ipvs.apply_requests(requests, ignore=(_EEXIST,))
        requests = [(wire.SET_DEST, virtual, None, real) for virtual, real in changes.updated_reals]
        requests += [(wire.DEL_SERVICE, virtual, None, None) for virtual in changes.removed]
        self._kernel.ipvs.apply_requests(requests, ignore=GONE)
        self._draining = {(v, r) for v, r in self._draining if v not in set(changes.removed)}
        self._remove(changes.removed_reals)

    def _is_draining(self, virtual: Virtual, real: Real) -> bool:
        return (virtual, Real(real.address, real.port, 0)) in self._draining

    def _remove(self, removed: Iterable[tuple[Virtual, Real]]) -> None:
        """Delete real servers; those of TCP with connections only stop getting new ones."""
        for virtual, real in removed:
            if virtual.protocol == "tcp" and self._has_connections(virtual, real):
                quiet = Real(real.address, real.port, 0)
                self._kernel.ipvs.apply_requests(
                    [(wire.SET_DEST, virtual, None, quiet)], ignore=GONE
                )
                self._draining.add((virtual, quiet))
            else:
                self._kernel.ipvs.apply_requests(
                    [(wire.DEL_DEST, virtual, None, real)], ignore=GONE
                )

    def _has_connections(self, virtual: Virtual, real: Real) -> bool:
        for found, counts in self._kernel.ipvs.observe_connections(virtual).items():
            if (found.address, found.port) == (real.address, real.port):
                return counts.active + counts.inactive > 0
        return False

    # --- incremental ------------------------------------------------------------------------

    def _count(self, compiled: Iterable[layout.ServiceIpvs], by: int) -> None:
        for one in compiled:
            for name, entries in one.entries.items():
                self._filled[name] += by * len(entries)
                for entry in entries:
                    self._entries[name, entry] += by
            for address in one.addresses:
                self._bound[address] += by
            for where in one.no_node_access:
                self._shut_out[where] += by

    async def update(self, services: Services, changes: Sequence[Change], node: NodeView) -> None:
        bound = self._kernel.addresses.held
        old: dict[Virtual, Server] = {}
        new: dict[Virtual, Server] = {}
        touched: set[tuple[str, str]] = set()
        addresses: set[str] = set()
        before = set()
        for change in changes:
            gone = self._compiled.pop(change.key, [])
            fresh = [layout.compile_service(s, node) for s in change.new]
            if fresh:
                self._compiled[change.key] = fresh
            touched |= _entries(gone) | _entries(fresh)
            addresses |= {address for one in (*gone, *fresh) for address in one.addresses}
            before |= {key for key in _entries(gone) if self._entries[key] > 0}
            self._count(gone, -1)
            self._count(fresh, 1)
            for one in gone:
                old.update({v: self._servers[v] for v in one.servers if v in self._servers})
            for one in fresh:
                new.update(one.servers)
        added = {a for a in addresses if self._bound[a] > 0} - bound
        added -= {*node.addresses, node.address}
        left = {a for a in addresses if self._bound[a] <= 0} & bound
        commands = self._set_changes(touched, before)

        def kernel() -> None:
            self._apply_servers(old, new)
            if added or left:
                self._kernel.addresses.bind(added, left)
            self._apply_sets(commands)

        await asyncio.to_thread(kernel)
        for virtual in old:
            self._servers.pop(virtual, None)
        self._servers.update(new)
        await self._update_rules(node)

    def _set_changes(
        self, touched: set[tuple[str, str]], before: set[tuple[str, str]]
    ) -> list[Command]:
        commands = []
        for name, entry in sorted(touched):
            wanted = self._entries[name, entry] > 0
            if not wanted:
                del self._entries[name, entry]
            if wanted != ((name, entry) in before):
                commands.append(layout.entry_command(wanted, name, entry, self._family))
        return commands

    async def _update_rules(self, node: NodeView) -> None:
        filled = [name for name, count in self._filled.items() if count > 0]
        shut_out = [where for where, count in self._shut_out.items() if count > 0]
        tables = layout.rules_of(filled, shut_out, node)
        if tables != self._rules:
            await self._iptables.restore(Restore(tables=tables).render())
            self._rules = tables

    # --- upkeep -----------------------------------------------------------------------------

    async def maintain(self) -> None:
        """Delete drained servers whose last connection has ended."""

        def work() -> None:
            for virtual, real in sorted(self._draining):
                if not self._has_connections(virtual, real):
                    self._kernel.ipvs.apply_requests(
                        [(wire.DEL_DEST, virtual, None, real)], ignore=GONE
                    )
                    self._draining.discard((virtual, real))

        if self._draining and self._opened is not None:
            await asyncio.to_thread(work)

    async def check(self, services: Services, node: NodeView) -> None:
        config = layout.compile_ipvs(in_order(services), node)
        await asyncio.to_thread(self._try_sets, config)
        await self._iptables.restore(Restore(tables=config.tables).render(), test=True)
        for virtual, server in config.servers.items():
            self._kernel.ipvs.encode((wire.NEW_SERVICE, virtual, server, None))
            for real in server.reals:
                self._kernel.ipvs.encode((wire.NEW_DEST, virtual, None, real))

    def _try_sets(self, config: layout.IpvsConfig) -> None:
        """Sets that the rules name must stand to judge these; entries are judged in others."""
        kernel = self._kernel.ipset
        kernel.apply([ipset.create(value) for value in config.sets.values()])
        named = (
            (f"NETEMU-TRIAL-{self._family}-{n}", v) for n, v in enumerate(config.sets.values())
        )
        trial = {name: replace(value, name=name) for name, value in named}
        try:
            kernel.apply(ipset.diff({}, trial))
        finally:
            kernel.destroy(trial)

    async def is_intact(self) -> bool:
        if not await self._iptables.chains_exist([("nat", "KUBE-SERVICES")]):
            return False
        observed = await asyncio.to_thread(self._observed)
        return set(self._servers) <= set(observed)

    def _observed(self) -> Servers:
        return self._kernel.ipvs.observe_virtuals(self._family)

    async def clean(self) -> None:
        await clean_iptables(self._iptables, layout.JUMPS, layout.CHAINS, ())
        with contextlib.suppress(DataplaneError):
            await netns.run(self._path, ["ip", "link", "delete", layout.DEVICE], timeout=10)

        def kernel() -> None:
            kernel = self._opened = self._opened or _Kernel(self._path, self._family)
            ours = {layout.set_name(name, self._family) for name in layout.SET_NAMES}
            kernel.ipset.destroy(ours & kernel.ipset.observe_sets().keys())
            gone: list[Request] = [
                (wire.DEL_SERVICE, virtual, None, None)
                for virtual in kernel.ipvs.observe_virtuals(self._family)
            ]
            kernel.ipvs.apply_requests(gone, ignore=GONE)

        await asyncio.to_thread(kernel)
        self.close()
        self._compiled, self._servers, self._rules = {}, {}, None
        self._draining = set()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _compile(
    services: Services, node: NodeView
) -> tuple[dict[str, list[layout.ServiceIpvs]], layout.IpvsConfig]:
    compiled = {
        key: [layout.compile_service(s, node) for s in services[key]] for key in sorted(services)
    }
    return compiled, layout.merge([one for ones in compiled.values() for one in ones], node)


async def _all_of(*work: Awaitable[Any]) -> list[Any]:
    """All to their end, also when one fails: the next attempt must not meet a running one."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


def _entries(compiled: Iterable[layout.ServiceIpvs]) -> set[tuple[str, str]]:
    return {
        (name, entry)
        for one in compiled
        for name, entries in one.entries.items()
        for entry in entries
    }


def _write_sysctls() -> None:
    for name, value in _SYSCTLS.items():
        path = Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)
