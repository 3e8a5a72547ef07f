"""UDP: a drained socket, and replies kept as bytes for queries that come again.

A query that was answered before with a lasting reply costs one dictionary look-up: the key is the
query without its id, so the name's spelling, the flags and EDNS are part of it. What was kept goes
when the objects change that it was made from. asyncio's datagram protocol takes 23 µs a query, this
about 6.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from netemu.dns import message
from netemu.dns.kube.store import SOA
from netemu.dns.message import LASTING, SECOND, Query, Reply
from netemu.dns.server.respond import Responder

BATCH = 64
"""Queries served before other work of the loop gets its turn."""
RECEIVE = 4096
MAX_KEPT = 20_000
"""Replies kept; all are dropped when there are more."""
MAX_BYTES = 16 << 20
"""Octets of kept replies and their queries: 400 addresses in many orders are 100 kB, and each
spelling of the name is a query of its own."""
OVERHEAD = 400
"""What Python adds to one, about."""
ROUNDS = 4
"""How often each order of a shuffled reply is sent before new ones are made."""
MAX_ORDERS = 16


class UdpListener:
    """One bound UDP socket."""

    def __init__(self, sock: socket.socket, responder: Responder) -> None:
        self.socket = sock
        self.responder = responder
        self.local: tuple[Any, ...] = sock.getsockname()
        self.family = 6 if sock.family == socket.AF_INET6 else 4
        self._kept: dict[bytes, list[Any]] = {}
        """Query without id → [count, next reply without id, sample, who wants the count, size]."""
        self._bytes = 0
        self._tags: dict[object, set[bytes]] = {}
        self._soon: list[bytes] = []
        """Keys of replies that are good for this second only."""
        self._inserted = 0
        self._hot_count = 0
        self._hot_seconds = 0.0

    def open(self) -> None:
        asyncio.get_running_loop().add_reader(self.socket.fileno(), self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.socket.fileno())
        self.forget()
        self.socket.close()

    def _readable(self) -> None:
        receive, send, find = self.socket.recvfrom, self.socket.sendto, self._kept.get
        hot, started = 0, time.perf_counter()
        for _ in range(BATCH):
            try:
                data, client = receive(RECEIVE)
                kept = find(data[2:])
                if kept is not None:
                    reply = kept[1]()
                    kept[0] += 1
                    send(data[:2] + reply, client)
                    hot += 1
                    continue
            except BlockingIOError:
                break
            except StopIteration:
                self._drop(data[2:])
            except OSError:
                continue  # an ICMP error of an earlier reply; the client is gone
            self._respond(data, client)
        if hot:
            self._hot_count += hot
            self._hot_seconds += time.perf_counter() - started

    def _respond(self, data: bytes, client: tuple[Any, ...]) -> None:
        def send(wire: bytes, query: Query | None, reply: Reply | None) -> None:
            if not wire:
                return  # silence is the answer
            try:
                self.socket.sendto(wire, client)
            except OSError:
                return  # full buffer, or nobody there: UDP may lose it
            if reply is not None and query is not None and reply.keep:
                self._keep(data, wire, query, reply)

        self.responder.respond(data, client, self.local, "udp", self.family, send)

    def _keep(self, data: bytes, wire: bytes, query: Query, reply: Reply) -> None:
        if len(data) > 512 or (query.edns is not None and query.edns.options):
            return
        key = data[2:]
        following: Callable[[], bytes]
        if reply.orders > 1:
            orders = self._orders(query, reply)
            following = iter(orders * ROUNDS).__next__
            size = sum(map(len, orders)) + 2 * len(key) + OVERHEAD
        else:
            following = itertools.repeat(wire[2:]).__next__
            size = len(wire) + 2 * len(key) + OVERHEAD
        if key in self._kept:
            self._drop(key)
        if self._inserted >= MAX_KEPT or self._bytes + size > MAX_BYTES:
            self.forget()
        self._inserted += 1
        self._bytes += size
        self._kept[key] = [0, following, reply.sample, reply.repeated, size]
        if reply.keep == SECOND:
            if not self._soon:
                loop = asyncio.get_running_loop()
                loop.call_later(1.0 - time.time() % 1.0, self._second)
            self._soon.append(key)
        elif reply.keep == LASTING:
            for tag in reply.tags:
                self._tags.setdefault(tag, set()).add(key)

    def _orders(self, query: Query, reply: Reply) -> list[bytes]:
        """The reply with its addresses rotated, so that each comes first equally often."""
        from netemu.dns.plugins.loadbalance import rotate

        found = []
        for _ in range(min(reply.orders, MAX_ORDERS)):
            found.append(message.encode(query, reply)[2:])
            rotate(reply)
        return found

    def _second(self) -> None:
        for key in self._soon:
            self._drop(key)
        self._soon.clear()

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept[4]
            if kept[0]:
                _count(kept, self._mean())

    def _mean(self) -> float:
        return self._hot_seconds / self._hot_count if self._hot_count else 0.0

    def changed(self, tags: Iterable[object]) -> None:
        """Drop what was made from these; a namespace's coming or going drops all."""
        for tag in tags:
            if isinstance(tag, str) and "/" not in tag and tag != SOA:
                self.forget()
                return
            for key in self._tags.pop(tag, ()):
                self._drop(key)

    def forget(self) -> None:
        """Drop everything, as a new configuration demands."""
        self.fold()
        self._kept.clear()
        self._tags.clear()
        self._soon.clear()
        self._inserted = self._bytes = 0

    def fold(self) -> None:
        """Give the counts of kept replies to the metrics."""
        mean = self._mean()
        for kept in self._kept.values():
            if kept[0]:
                _count(kept, mean)
        self._hot_count, self._hot_seconds = 0, 0.0


def _count(kept: list[Any], mean: float) -> None:
    if kept[2] is not None:
        kept[2].add(kept[0], mean)
    if kept[3] is not None:
        kept[3](kept[0])
    kept[0] = 0
