"""Pings from many namespaces at once.

One raw socket a source, born in its network namespace, and one loop over all of them: no `ping`
process a pair, so 100 pods' 9,900 pairs take a second and not minutes. The kernel notes when an
answer came, so the times don't contain our own queue.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netemu.cli import icmp
from netemu.node import netns

IN_FLIGHT = 64
"""More would measure our own queue and overrun the sockets' buffers."""
_TIMESTAMP = struct.Struct("ll")
_SO_TIMESTAMPNS = 35
_IP_MTU_DISCOVER, _PMTUDISC_DO = 10, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Somebody who pings and is pinged. `family` 4 or 6 of `address`."""

    label: str
    netns: str
    address: str
    bridge: str = ""
    """The node whose bridge it is on; empty for machines and for pods on their node's network."""

    @property
    def family(self) -> int:
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """One request and what came of it. `ms` is None when nothing came; then `error` says why."""

    source: Peer
    target: Peer
    ms: float | None = None
    error: str = ""
    ttl: int = 0

    @property
    def received(self) -> bool:
        return self.ms is not None


Pair = tuple[Peer, Peer]


class Prober:
    """Use as a context; it owns the sources' sockets."""

    def __init__(
        self, *, timeout: float = 1.0, size: int = 56, dont_fragment: bool = False
    ) -> None:
        self._timeout = timeout
        self._payload = bytes(i % 256 for i in range(size))
        self._dont_fragment = dont_fragment
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._sources: dict[int, tuple[str, int]] = {}
        self._poll = select.epoll()
        self._identifier = os.getpid() & 0xFFFF
        self._sequence = 0
        self._waiting: dict[tuple[tuple[str, int], int], tuple[Pair, float]] = {}
        self._deadlines: deque[tuple[float, tuple[tuple[str, int], int]]] = deque()

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._poll.close()

    def ping(self, pairs: Iterable[Pair]) -> Iterator[Echo]:
        """Each pair once, as the answers come; a lost one after the timeout."""
        queue = iter(pairs)
        more = True
        while more or self._waiting:
            while more and len(self._waiting) < IN_FLIGHT:
                pair = next(queue, None)
                if pair is None:
                    more = False
                    break
                failed = self._send(pair)
                if failed:
                    yield failed
            yield from self._receive()
            yield from self._expired()

    def _send(self, pair: Pair) -> Echo | None:
        """None when it is on its way."""
        source, target = pair
        key = (source.netns, target.family)
        try:
            sock = self._sockets.get(key) or self._open(key)
        except OSError as error:
            return Echo(source=source, target=target, error=error.strerror or str(error))
        self._sequence = (self._sequence + 1) & 0xFFFF
        packet = icmp.request(target.family, self._identifier, self._sequence, self._payload)
        token = (key, self._sequence)
        self._deadlines.append((time.monotonic() + self._timeout, token))
        self._waiting[token] = (pair, time.time())
        try:
            sock.sendto(packet, (target.address, 0))
        except OSError as error:
            del self._waiting[token]
            reason = error.strerror or str(error)
            if error.errno == errno.EMSGSIZE:
                reason = "message too long"
            return Echo(source=source, target=target, error=reason.lower())
        return None

    def _open(self, key: tuple[str, int]) -> socket.socket:
        path, family = key
        kind, proto = (
            (socket.AF_INET, socket.IPPROTO_ICMP)
            if family == 4
            else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
        )
        sock = netns.socket_in(path, kind, socket.SOCK_RAW, proto)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if self._dont_fragment and family == 4:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)
        self._sockets[key] = sock
        self._sources[sock.fileno()] = key
        self._poll.register(sock, select.EPOLLIN)
        return sock

    def _receive(self) -> Iterator[Echo]:
        if not self._waiting:
            return
        wait = max(self._deadlines[0][0] - time.monotonic(), 0) if self._deadlines else 0
        for descriptor, _ in self._poll.poll(wait):
            key = self._sources[descriptor]
            yield from self._read(key, self._sockets[key])

    def _read(self, key: tuple[str, int], sock: socket.socket) -> Iterator[Echo]:
        while True:
            try:
                packet, ancillary, _, _ = sock.recvmsg(65536, 64)
            except BlockingIOError:
                return
            now = _arrival(ancillary)
            answer = icmp.parse(key[1], packet)
            if answer is None or answer.identifier != self._identifier:
                continue
            found = self._waiting.pop((key, answer.sequence), None)
            if found is None:
                continue
            (source, target), sent = found
            if answer.error:
                yield Echo(source=source, target=target, error=answer.error)
            else:
                ms = max(now - sent, 0.0) * 1000
                yield Echo(source=source, target=target, ms=ms, ttl=answer.ttl)

    def _expired(self) -> Iterator[Echo]:
        now = time.monotonic()
        while self._deadlines and (
            self._deadlines[0][0] <= now or self._deadlines[0][1] not in self._waiting
        ):
            _, token = self._deadlines.popleft()
            found = self._waiting.pop(token, None)
            if found is not None:
                (source, target), _ = found
                yield Echo(source=source, target=target, error=f"no answer in {self._timeout:g} s")


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> float:
    """When the kernel received the packet, seconds since the epoch."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= 16:
            seconds, nanoseconds = _TIMESTAMP.unpack(data[:16])
            return float(seconds + nanoseconds / 1e9)
    return time.time()
