"""What the plugins of one process share, and what outlives a Corefile.

Stores of objects live here, so that a reload does not ask the API again; so do the random source
and the clock, so that tests can bring their own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netemu.aio import Clock, SystemClock
from netemu.dns import wire
from netemu.dns.kube.store import Store, Wanted
from netemu.dns.message import Query, Reply
from netemu.dns.metrics import Registry
from netemu.dns.plugin import Block, Failure

if TYPE_CHECKING:
    from netemu.dns.server.instance import Instance

MAX_DEPTH = 8
"""Lookups that lead to lookups: a ring of CNAMEs ends here."""

Handler = Callable[[], tuple[int, str, bytes]]
"""Answers a GET: (status, content type, body)."""


class Source(Protocol):
    """Where objects come from; fills stores and keeps them current."""

    def fill(self, wanted: Wanted, store: Store) -> None: ...


class Runtime:
    """One resolver process."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        *,
        source: Source | None = None,
        clock: Clock | None = None,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        root: Path = Path(),
        seed: int | None = None,
        local: Iterable[str] = (),
    ) -> None:
        self.group = group
        self.source = source
        self.clock: Clock = clock or SystemClock()
        self.resolv_conf = resolv_conf
        self.root = root
        """Relative files of the Corefile are below this directory."""
        self.random = random.Random(seed)
        self.instance: Instance | None = None
        """The configuration that serves now."""
        self.registry = Registry()
        self.read_corefile: Callable[[], str] | None = None
        """Reads a Corefile that lies in a file; one of a ConfigMap is offered when it changes."""
        self.offer_corefile: Callable[[str], None] = _ignore
        """Takes a Corefile that may have changed."""
        self.announced: Callable[[], bool] = lambda: True
        """Whether the API counts on us; before that we are not ready."""
        self.exit: Callable[[str], None] = _exit
        """How `loop` ends the process."""
        self._stores: dict[Wanted, Store] = {}
        self._watchers: list[Callable[[Iterable[object]], None]] = []
        self._local = tuple(ipaddress.ip_address(text).packed for text in local)

    def store(self, wanted: Wanted) -> Store:
        """The store with what is wanted; made, and filled from the source, on the first call."""
        store = self._stores.get(wanted)
        if store is None:
            store = self._stores[wanted] = Store()
            store.watch(self.changed)
            if self.source is not None:
                self.source.fill(wanted, store)
            else:
                store.synced = True
        return store

    def on_change(self, watcher: Callable[[Iterable[object]], None]) -> Callable[[], None]:
        """Hear the tags of everything that changes, in any store; the result ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def changed(self, tags: Iterable[object]) -> None:
        for watcher in self._watchers:
            watcher(tags)

    def local_addresses(self) -> tuple[bytes, ...]:
        """This machine's own addresses, packed, without loopback and link-local ones."""
        return self._local or _interface_addresses()

    async def resolve(self, query: Query, block: Block) -> Reply:
        """Ask ourselves: what a client that sends `query` to this server block's port would get."""
        if query.depth >= MAX_DEPTH:
            raise Failure(f"{wire.to_text(query.name)}: more than {MAX_DEPTH} lookups lead here")
        if self.instance is None:
            raise Failure("not serving yet")
        return await self.instance.resolve(query, block)


def _ignore(text: str) -> None:
    return None


def _exit(why: str) -> None:
    raise SystemExit(f"{why}")


def _interface_addresses() -> tuple[bytes, ...]:
    """From /proc, since it shows the network namespace that we are in, without a library."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    try:
        previous = ""
        for line in Path("/proc/net/fib_trie").read_text().splitlines():
            if "/32 host LOCAL" in line:
                found.append(ipaddress.IPv4Address(previous.split()[-1]))
            previous = line
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            found.append(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))
    except (OSError, ValueError, IndexError):
        return ()
    return tuple(dict.fromkeys(a.packed for a in found if not (a.is_loopback or a.is_link_local)))
