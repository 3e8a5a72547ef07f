"""IPVS mode in a node's kernel: ipsets, a fixed set of iptables rules, kube-ipvs0, virtual servers.

A change of endpoints is a few netlink messages over sockets that stay open. A full sync of a kernel
that holds nothing yet sends what was encoded in bulk; any other one compares and sends the rest.
https://github.com/kubernetes/kubernetes/blob/release-1.33/pkg/proxy/ipvs/README.md
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netemu.errors import DataplaneError
from netemu.netstate import ipset
from netemu.netstate import ipvswire as wire
from netemu.netstate.ipset import SetValue
from netemu.netstate.iptables import Jump, Restore, Tables, missing_jumps
from netemu.netstate.ipvs import Servers
from netemu.netstate.ipvswire import Request
from netemu.node import netns
from netemu.node.ipset import IpsetSocket
from netemu.node.iptables import ALWAYS, IptablesTool, clean_iptables
from netemu.node.ipvsservers import VirtualServers
from netemu.node.ipvssocket import GONE, IpvsSocket
from netemu.node.placeholders import Placeholders
from netemu.node.proxybackend import Change, Services, in_order
from netemu.proxy import ipvs as layout
from netemu.proxy.ipvsbooks import Books
from netemu.proxy.ipvsfill import encode_servers, encode_sets, sort_out
from netemu.proxy.ipvsrules import CHAINS, JUMPS, rules_of
from netemu.proxy.ipvssets import SETS, set_name
from netemu.proxy.model import NodeView

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
        self.servers = VirtualServers(self.ipvs)
        self.ipset = IpsetSocket(path)
        self.addresses = Placeholders(path, layout.DEVICE, family)

    def close(self) -> None:
        self.ipvs.close()
        self.ipset.close()
        self.addresses.close()


@dataclass(frozen=True, slots=True)
class _Plan:
    """A full sync: the rules, and what they and the packets need."""

    tables: Tables
    sets: Callable[[], None]
    """Before the rules, which look into them."""
    servers: Callable[[], None]
    addresses: Callable[[], None]


class _Refused(Exception):
    """Something in a bulk was; what, comparing will tell."""


class IpvsBackend:
    """IPVS mode on one node, one family."""

    def __init__(self, path: str, family: int = 4, lock_file: str = "") -> None:
        self._path, self._family = path, family
        self._iptables = IptablesTool(path, family, lock_file)
        self._opened: _Kernel | None = None
        self._base: Services = {}
        """Of the last full sync; not a copy, which would be all the memory that one takes."""
        self._node: NodeView | None = None
        self._books: Books | None = None
        self._rules: Tables | None = None

    # --- full -------------------------------------------------------------------------------

    async def replace(self, services: Services, node: NodeView) -> None:
        self._base, self._node, self._books = services, node, None
        if await asyncio.to_thread(self._prepare):
            with contextlib.suppress(_Refused):
                # No rule of ours can stand without the sets that it looks into.
                await self._carry_out(await asyncio.to_thread(self._fill, services, node), JUMPS)
                return
        compare = asyncio.to_thread(self._compare, services, node)
        plan, saved = await _all_of(compare, self._iptables.save())
        await self._carry_out(plan, missing_jumps(saved, JUMPS))

    def _prepare(self) -> bool:
        """Whether the kernel holds nothing of ours yet."""
        if self._opened is None:
            self._opened = _Kernel(self._path, self._family)
            netns.call_in(self._path, _write_sysctls)
        kernel = self._opened
        kernel.addresses.prepare()
        held = kernel.addresses.observe()
        return not (held or self._observe_sets() or self._observe_virtuals())

    async def _carry_out(self, plan: _Plan, jumps: Sequence[Jump]) -> None:
        await asyncio.to_thread(plan.sets)
        rules = Restore(tables=plan.tables, inserts=jumps)

        def servers() -> None:
            plan.servers()
            plan.addresses()

        await _all_of(self._iptables.restore(rules.render()), asyncio.to_thread(servers))
        self._rules = plan.tables

    def _fill(self, services: Services, node: NodeView) -> _Plan:
        """For a kernel that holds nothing of ours yet. Its steps raise _Refused."""
        kernel, fill = self._kernel, sort_out(services, node)
        kernel.servers = VirtualServers(kernel.ipvs)  # nothing drains in an empty kernel
        return _Plan(
            rules_of(fill.filled, fill.shut_out, node),
            lambda: _send_all(kernel.ipset, encode_sets(fill)),
            lambda: _send_all(kernel.ipvs, encode_servers(fill, kernel.ipvs.family)),
            lambda: _send_all(kernel.addresses, kernel.addresses.encode(fill.addresses)),
        )

    def _compare(self, services: Services, node: NodeView) -> _Plan:
        kernel, books = self._kernel, Books(services, node)
        config, self._books = books.config(), books

        def sets() -> None:
            commands = ipset.diff(kernel.ipset.observe_sets(), config.sets)
            kernel.ipset.apply(commands, books.owner)

        def servers() -> None:
            kernel.servers.change(kernel.ipvs.observe_servers(self._family), config.servers)

        def addresses() -> None:
            wanted, held = set(config.addresses), kernel.addresses.observe()
            kernel.addresses.bind(wanted - held, held - wanted)

        return _Plan(config.tables, sets, servers, addresses)

    @property
    def _kernel(self) -> _Kernel:
        if self._opened is None:
            raise DataplaneError(self._path, "change rules", stderr="no full sync yet")
        return self._opened

    # --- incremental ------------------------------------------------------------------------

    async def settle(self) -> None:
        if self._books is None and self._node is not None:
            await asyncio.to_thread(self._ready, self._base)

    def _ready(self, services: Services, changes: Sequence[Change] = ()) -> Books:
        """Made after the full sync, which must not wait for it; as before `changes`."""
        if self._books is None:
            if self._node is None:
                raise DataplaneError(self._path, "change rules", stderr="no full sync yet")
            before = {**services, **{change.key: change.old for change in changes}}
            self._books, self._base = Books(before, self._node), {}
        return self._books

    async def update(self, services: Services, changes: Sequence[Change], node: NodeView) -> None:
        kernel = self._kernel

        def work() -> Tables:
            books = self._ready(services, changes)
            step = books.change((change.key, change.new) for change in changes)
            kernel.servers.change(step.old, step.new)
            kernel.addresses.bind(step.wanted, step.unwanted)
            kernel.ipset.apply(step.commands, books.owner)
            return books.tables()

        tables = await asyncio.to_thread(work)
        if tables != self._rules:
            await self._iptables.restore(Restore(tables=tables).render())
            self._rules = tables

    # --- upkeep -----------------------------------------------------------------------------

    async def maintain(self) -> None:
        """Delete drained servers whose last connection has ended."""
        if self._opened is not None and self._opened.servers.drains:
            await asyncio.to_thread(self._opened.servers.delete_drained)

    async def check(self, services: Services, node: NodeView) -> None:
        config = layout.compile_ipvs(in_order(services), node)
        await asyncio.to_thread(self._try_sets, config.sets)
        await self._iptables.restore(Restore(tables=config.tables).render(), test=True)
        await asyncio.to_thread(self._kernel.servers.try_out, config.servers)

    def _try_sets(self, sets: Mapping[str, SetValue]) -> None:
        """Sets that the rules name must stand to judge these; entries are judged in others."""
        kernel = self._kernel.ipset
        kernel.apply([ipset.create(value) for value in sets.values()])
        named = ((f"NETEMU-TRIAL-{self._family}-{n}", v) for n, v in enumerate(sets.values()))
        trial = {name: replace(value, name=name) for name, value in named}
        try:
            kernel.apply(ipset.diff({}, trial))
        finally:
            kernel.destroy(trial)

    async def is_intact(self) -> bool:
        if not await self._iptables.chains_exist([("nat", "KUBE-SERVICES")]):
            return False
        if not await self._iptables.rules_exist(ALWAYS):
            return False
        return await asyncio.to_thread(
            lambda: self._ready(self._base).servers.keys() <= self._observe_virtuals().keys()
        )

    def _observe_sets(self) -> list[str]:
        ours = {set_name(name, self._family) for name in SETS}
        return sorted(ours & self._kernel.ipset.observe_sets().keys())

    def _observe_virtuals(self) -> Servers:
        return self._kernel.ipvs.observe_virtuals(self._family)

    async def clean(self) -> None:
        await clean_iptables(self._iptables, JUMPS, CHAINS, ())
        with contextlib.suppress(DataplaneError):
            await netns.run(self._path, ["ip", "link", "delete", layout.DEVICE], timeout=10)

        def kernel() -> None:
            kernel = self._opened = self._opened or _Kernel(self._path, self._family)
            kernel.ipset.destroy(self._observe_sets())
            gone: list[Request] = [
                (wire.DEL_SERVICE, virtual, None, None) for virtual in self._observe_virtuals()
            ]
            kernel.ipvs.apply_requests(gone, ignore=GONE)

        await asyncio.to_thread(kernel)
        self.close()
        self._base, self._node, self._books, self._rules = {}, None, None, None

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _send_all(socket: IpsetSocket | IpvsSocket | Placeholders, blobs: Iterator[bytes]) -> None:
    """What no bytes can say (port 70000) is refused like what the kernel refuses."""
    try:
        taken = socket.takes(blobs)
    except (ValueError, OverflowError, KeyError) as error:
        raise _Refused from error
    if not taken:
        raise _Refused


async def _all_of(*work: Awaitable[Any]) -> list[Any]:
    """All to their end, also when one fails: the next attempt must not meet a running one."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


def _write_sysctls() -> None:
    for name, value in _SYSCTLS.items():
        path = Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)
