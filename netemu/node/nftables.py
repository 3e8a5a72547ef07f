"""nftables rules into a node's kernel: modes `nftables` and `flat`, as nfnetlink transactions.

A full sync builds the table anew, a change sends what it changes, each in one transaction over a
socket that stays open. Chains that a change leaves over are emptied at once and deleted later:
kernels before 6.2 count a verdict map's references late (kube-proxy waits a second, too).
https://www.netfilter.org/projects/nftables/manpage.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from netemu.errors import DataplaneError
from netemu.netstate.nftables import Delta, Table
from netemu.netstate.nfwire import Batch, add_structure, encode_delta, encode_table
from netemu.node.nfsocket import NfSocket
from netemu.node.proxybackend import Change, Services, in_order
from netemu.proxy import flat, nftables
from netemu.proxy.flatwire import encode_flat
from netemu.proxy.model import NodeView
from netemu.proxy.nftables import assemble
from netemu.proxy.nftdelta import Compile, NftState

_INLINE = 32
"""So few changed Services are sent from the loop itself; it waits well under a millisecond."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay Services out in a table."""

    mode: str
    table: str
    skeleton: Callable[[NodeView], Table]
    compile_service: Compile


NFTABLES = Layout("nftables", nftables.TABLE, nftables.skeleton, nftables.compile_service)
FLAT = Layout("flat", flat.TABLE, flat.skeleton, flat.compile_service)


class NftBackend:
    """A layout's table on one node, in one family."""

    def __init__(self, path: str, family: int, layout: Layout) -> None:
        self.layout = layout
        self._path, self._family = path, family
        self._open: NfSocket | None = None
        self._state: NftState | None = None
        self._loaded = False

    @property
    def _socket(self) -> NfSocket:
        if self._open is None:
            self._open = NfSocket(self._path)
        return self._open

    def _encode(self, services: Services, node: NodeView) -> bytes:
        with self._encoding():
            if self.layout is FLAT:
                return encode_flat(services, node)
            return encode_table(self._table(services, node))

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        """What no bytes can say (port 70000) is refused like what the kernel refuses."""
        try:
            yield
        except (ValueError, OverflowError, KeyError) as error:
            raise DataplaneError(self._path, "encode rules", stderr=str(error)) from error

    def _table(self, services: Services, node: NodeView) -> Table:
        compiled = (self.layout.compile_service(s, node) for s in in_order(services))
        return assemble(self.layout.skeleton(node), compiled)

    async def replace(self, services: Services, node: NodeView) -> None:
        def work() -> None:
            self._socket.apply_batch(self._encode(services, node), f"{self.layout.mode} table")

        await asyncio.to_thread(work)
        skeleton = self.layout.skeleton(node)
        self._state, self._loaded = NftState(skeleton, self.layout.compile_service, node), False
        self._base = dict(services)

    async def settle(self) -> None:
        if self._state is not None and not self._loaded:
            await asyncio.to_thread(self._ready)

    def _ready(self) -> NftState:
        """The state for changes, made after the full sync, which must not wait for it."""
        assert self._state is not None
        if not self._loaded:
            self._state.load(self._base)
            self._loaded = True
        return self._state

    async def update(self, services: Services, changes: Sequence[Change], node: NodeView) -> None:
        if self._state is None:
            raise DataplaneError(self._path, "change rules", stderr="no full sync yet")
        if not self._loaded or len(changes) > _INLINE:
            await asyncio.to_thread(self._update, changes)
        else:
            self._update(changes)

    def _update(self, changes: Sequence[Change]) -> None:
        state = self._ready()
        with self._encoding():
            delta = state.change((change.key, change.old, change.new) for change in changes)
            batch = encode_delta(state.skeleton, delta, state.sets()) if delta else b""
        if batch:
            self._socket.apply_batch(batch, f"{self.layout.mode} change")

    async def check(self, services: Services, node: NodeView) -> None:
        def work() -> None:
            # Made and deleted in one transaction, under another name and without hooks.
            table = self._table(services, node)
            chains = {n: c for n, c in table.chains.items() if not c.hook}
            scratch = Table(
                family=table.family, name="netemu-check", chains=chains, sets=table.sets
            )
            batch = Batch(scratch.family, scratch.name)
            with self._encoding():
                add_structure(batch, scratch)
                for name, value in scratch.sets.items():
                    batch.add_elements(name, value, value.elements)
            batch.delete_table()
            self._socket.apply_batch(batch.encode(), "check")

        await asyncio.to_thread(work)

    async def is_intact(self) -> bool:
        """By the chain that all packets come to: `nft flush` leaves tables standing."""
        table = self.layout.table
        return await asyncio.to_thread(self._socket.has_rules, self._family, table, "services")

    async def clean(self) -> None:
        def work() -> None:
            batch = Batch("ip6" if self._family == 6 else "ip", self.layout.table)
            batch.add_table()
            batch.delete_table()
            self._socket.apply_batch(batch.encode(), "remove table")
            self.close()

        await asyncio.to_thread(work)
        self._state = None

    async def maintain(self) -> None:
        """Delete the chains that changes left over."""
        state = self._state
        if state is None or not state.stale:
            return
        stale, state.stale = sorted(state.stale), set()
        delta = Delta(dropped_chains=stale)
        batch = encode_delta(state.skeleton, delta, state.sets(), delete_chains=True)
        await asyncio.to_thread(self._socket.apply_batch, batch, "delete chains")

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
