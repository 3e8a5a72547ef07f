"""IPVS mode in a node's kernel: ipsets, a fixed set of iptables rules, kube-ipvs0, virtual servers.

A change of endpoints is one netlink message. A TCP server that goes while it has connections gets
weight 0 first and is removed once they have ended; UDP and SCTP servers go at once.
https://github.com/kubernetes/kubernetes/blob/release-1.33/pkg/proxy/ipvs/graceful_termination.go
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netemu.errors import DataplaneError
from netemu.netstate import ipvswire as wire
from netemu.netstate.ipset import SetValue
from netemu.netstate.iptables import Restore, missing_jumps
from netemu.netstate.ipvs import Real, Server, Servers, Virtual, diff
from netemu.node import netns
from netemu.node.inet_messages import add_placeholder, delete_address
from netemu.node.ipset import IpsetTool
from netemu.node.iptables import IptablesTool, clean_iptables
from netemu.node.ipvssocket import GONE, IpvsSocket, Request
from netemu.node.netlink import NetlinkSocket
from netemu.node.proxybackend import Change, Services, in_order
from netemu.proxy import ipvs as layout
from netemu.proxy.model import NodeView

_EEXIST, _EADDRNOTAVAIL = 17, 99
_SYSCTLS = {
    "ipv4/vs/conntrack": "1",
    "ipv4/vs/expire_nodest_conn": "1",
    "ipv4/vs/expire_quiescent_template": "1",
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/arp_announce": "2",
}


class IpvsBackend:
    """IPVS mode on one node, one family."""

    def __init__(self, path: str, family: int = 4, lock_file: str = "") -> None:
        self._path, self._family = path, family
        self._iptables = IptablesTool(path, family, lock_file)
        self._ipset = IpsetTool(path)
        self._ipvs: IpvsSocket | None = None
        self._links: NetlinkSocket | None = None
        self._device = 0
        self._held: set[str] = set()
        """Addresses on kube-ipvs0."""
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
        """Virtual servers are made while the programs of ipset and iptables work."""
        compiling = asyncio.to_thread(_compile, services, node)
        look = self._prepare(), self._ipset.observe_sets(), self._iptables.save()
        (compiled, config), _, held, saved = await _all_of(compiling, *look)
        rules = Restore(tables=config.tables, inserts=missing_jumps(saved, layout.JUMPS))

        async def filters() -> None:
            await self._ipset.apply_diff(held, config.sets)
            await self._iptables.restore(rules.render())

        def kernel() -> None:
            assert self._ipvs is not None
            observed = self._ipvs.observe_servers(self._family)
            self._apply_servers(observed, config.servers)
            wanted = set(config.addresses)
            self._bind(wanted - self._held, self._held - wanted)

        await _all_of(filters(), asyncio.to_thread(kernel))
        self._compiled, self._servers = compiled, dict(config.servers)
        self._rules = config.tables
        self._entries, self._bound = Counter(), Counter()
        self._filled, self._shut_out = Counter(), Counter()
        for ones in compiled.values():
            self._count(ones, 1)

    async def _prepare(self) -> None:
        if self._ipvs is None:
            self._ipvs = await asyncio.to_thread(IpvsSocket, self._path)
            await netns.await_in(self._path, _write_sysctls)
        if self._links is None:
            self._links = await asyncio.to_thread(netns.netlink_in, self._path)
        with contextlib.suppress(DataplaneError):
            await netns.run(
                self._path, ["ip", "link", "add", layout.DEVICE, "type", "dummy"], timeout=10
            )
        out = await netns.run(self._path, ["ip", "-j", "address", "show", "dev", layout.DEVICE])
        (link,) = json.loads(out)
        self._device = link["ifindex"]
        self._held = {
            a["local"] for a in link["addr_info"] if (":" in a["local"]) == (self._family == 6)
        }

    def _bind(self, added: Collection[str], gone: Collection[str]) -> None:
        assert self._links is not None
        size = 128 if self._family == 6 else 32
        new = [add_placeholder(self._device, a) for a in sorted(added)]
        old = [delete_address(self._device, f"{a}/{size}") for a in sorted(gone)]
        self._links.request(new, ignore=(_EEXIST,))
        self._links.request(old, ignore=(_EADDRNOTAVAIL,))
        self._held = (self._held | set(added)) - set(gone)

    def _apply_servers(self, old: Servers, new: Servers) -> None:
        assert self._ipvs is not None
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
        self._ipvs.apply_requests(requests, ignore=GONE)
        requests = [(wire.NEW_DEST, virtual, None, real) for virtual, real in changes.added_reals]
        self._ipvs.apply_requests(requests, ignore=(_EEXIST,))
        requests = [(wire.SET_DEST, virtual, None, real) for virtual, real in changes.updated_reals]
        requests += [(wire.DEL_SERVICE, virtual, None, None) for virtual in changes.removed]
        self._ipvs.apply_requests(requests, ignore=GONE)
        self._draining = {(v, r) for v, r in self._draining if v not in set(changes.removed)}
        self._remove(changes.removed_reals)

    def _is_draining(self, virtual: Virtual, real: Real) -> bool:
        return (virtual, Real(real.address, real.port, 0)) in self._draining

    def _remove(self, removed: Iterable[tuple[Virtual, Real]]) -> None:
        """Delete real servers; those of TCP with connections only stop getting new ones."""
        assert self._ipvs is not None
        for virtual, real in removed:
            if virtual.protocol == "tcp" and self._has_connections(virtual, real):
                quiet = Real(real.address, real.port, 0)
                self._ipvs.apply_requests([(wire.SET_DEST, virtual, None, quiet)], ignore=GONE)
                self._draining.add((virtual, quiet))
            else:
                self._ipvs.apply_requests([(wire.DEL_DEST, virtual, None, real)], ignore=GONE)

    def _has_connections(self, virtual: Virtual, real: Real) -> bool:
        assert self._ipvs is not None
        for found, counts in self._ipvs.observe_connections(virtual).items():
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
        if self._ipvs is None:
            raise DataplaneError(self._path, "change rules", stderr="no full sync yet")
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
        added = {a for a in addresses if self._bound[a] > 0} - self._held
        added -= {*node.addresses, node.address}
        left = {a for a in addresses if self._bound[a] <= 0} & self._held

        def kernel() -> None:
            self._apply_servers(old, new)
            if added or left:
                self._bind(added, left)

        await asyncio.to_thread(kernel)
        for virtual in old:
            self._servers.pop(virtual, None)
        self._servers.update(new)
        await self._update_sets(touched, before)
        await self._update_rules(node)

    async def _update_sets(
        self, touched: set[tuple[str, str]], before: set[tuple[str, str]]
    ) -> None:
        lines = []
        for name, entry in sorted(touched):
            shown, wanted = layout.set_name(name, self._family), self._entries[name, entry] > 0
            if wanted and (name, entry) not in before:
                lines.append(f"add {shown} {entry}\n")
            elif not wanted:
                del self._entries[name, entry]
                lines.append(f"del {shown} {entry}\n")
        await self._ipset.restore("".join(lines))

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
            assert self._ipvs is not None
            for virtual, real in sorted(self._draining):
                if not self._has_connections(virtual, real):
                    self._ipvs.apply_requests([(wire.DEL_DEST, virtual, None, real)], ignore=GONE)
                    self._draining.discard((virtual, real))

        if self._draining and self._ipvs is not None:
            await asyncio.to_thread(work)

    async def check(self, services: Services, node: NodeView) -> None:
        config = layout.compile_ipvs(in_order(services), node)
        await self._ipset.restore("".join(_creations(config.sets)))
        await self._iptables.restore(Restore(tables=config.tables).render(), test=True)
        assert self._ipvs is not None
        for virtual, server in config.servers.items():
            self._ipvs.encode((wire.NEW_SERVICE, virtual, server, None))
            for real in server.reals:
                self._ipvs.encode((wire.NEW_DEST, virtual, None, real))

    async def is_intact(self) -> bool:
        if not await self._iptables.chains_exist([("nat", "KUBE-SERVICES")]):
            return False
        observed = await asyncio.to_thread(self._observed)
        return set(self._servers) <= set(observed)

    def _observed(self) -> Servers:
        assert self._ipvs is not None
        return self._ipvs.observe_virtuals(self._family)

    async def clean(self) -> None:
        await clean_iptables(self._iptables, layout.JUMPS, layout.CHAINS, ())
        held = await self._ipset.observe_sets()
        ours = {layout.set_name(name, self._family) for name in layout.SET_NAMES}
        await self._ipset.destroy(ours & set(held))
        with contextlib.suppress(DataplaneError):
            await netns.run(self._path, ["ip", "link", "delete", layout.DEVICE], timeout=10)

        def kernel() -> None:
            if self._ipvs is None:
                self._ipvs = IpvsSocket(self._path)
            gone: list[Request] = [
                (wire.DEL_SERVICE, virtual, None, None)
                for virtual in self._ipvs.observe_virtuals(self._family)
            ]
            self._ipvs.apply_requests(gone, ignore=GONE)

        await asyncio.to_thread(kernel)
        self.close()
        self._compiled, self._servers, self._rules, self._held = {}, {}, None, set()
        self._draining = set()

    def close(self) -> None:
        if self._ipvs is not None:
            self._ipvs.close()
            self._ipvs = None
        if self._links is not None:
            self._links.close()
            self._links = None


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


def _creations(sets: Mapping[str, SetValue]) -> Iterable[str]:
    return (f"create {name} {value.kind} {value.options}\n" for name, value in sets.items())


def _write_sysctls() -> None:
    for name, value in _SYSCTLS.items():
        path = Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)
