"""A relay for outside names, on the machine's own end of the underlay.

Nodes have no route out of the machine, so the resolver pods cannot reach the machine's name
servers. The cluster's daemon runs this relay on the address that nodes have as name server; it
hands raw queries, UDP as UDP and TCP as TCP, to the machine's name servers or to those that the
cluster was given, and the replies back.

    pod → coredns pod → node → underlay .1:53 (Relay) → 127.0.0.53, 192.0.2.2 …
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netemu.aio import spawn
from netemu.dns import message, wire
from netemu.dns.plugin import Failure, split_address
from netemu.dns.plugins.forward import nameservers
from netemu.dns.upstream import Upstream

log = logging.getLogger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
MAX_PENDING = 4096
"""Queries under way; more are answered SERVFAIL."""
IDLE = 10.0
MAX_CONNECTIONS = 256
PROBE_EVERY = 2.0
"""How often a name server is asked that did not answer; until it does, nobody waits for it."""
TRIES = 64
"""Ports that are tried when any will do."""
SAY_EVERY = 300.0
"""How often the log repeats why outside names are not resolved, with their number."""


class Relay:
    """Relays from `host`:`port`. Without `upstreams`, to the name servers of `resolv_conf`."""

    def __init__(
        self,
        host: str,
        port: int = 53,
        *,
        upstreams: Sequence[str] = (),
        resolv_conf: Path = RESOLV_CONF,
    ) -> None:
        self.host, self.port = host, port
        self.ready = asyncio.Event()
        """Set once the sockets are bound; `port` is then the one that the kernel chose for 0."""
        self._fixed = [split_address(text, 53) for text in upstreams]
        self._resolv_conf = resolv_conf
        self._stamp: tuple[int, int] | None = None
        self._upstreams: list[Upstream] = []
        self._told: dict[str, tuple[float, int]] = {}
        """Cause → when it was logged, and how often it has come since."""
        self._pending = 0
        self._connections = 0
        self._group: asyncio.TaskGroup
        self._socket: socket.socket

    async def run(self) -> None:
        """Serve until cancelled; OSError when the address cannot be bound."""
        loop = asyncio.get_running_loop()
        sock, server = await self._bind()
        with sock:
            self._socket, self.port = sock, sock.getsockname()[1]
            try:
                async with asyncio.TaskGroup() as self._group:
                    loop.add_reader(sock.fileno(), self._readable)
                    self.ready.set()
                    await asyncio.Event().wait()
            finally:
                loop.remove_reader(sock.fileno())
                server.close()
                self._drop_upstreams()

    async def _bind(self) -> tuple[socket.socket, asyncio.Server]:
        """UDP and TCP on one port; another one when 0 led to a port that TCP cannot have."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        for left in reversed(range(TRIES)):
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                sock.bind((self.host, self.port))
                port = sock.getsockname()[1]
                return sock, await asyncio.start_server(self._connection, self.host, port)
            except OSError:
                sock.close()
                if self.port or not left:
                    raise
        raise AssertionError

    def _readable(self) -> None:
        for _ in range(64):
            try:
                data, client = self._socket.recvfrom(4096)
            except BlockingIOError:
                return
            except OSError:
                continue
            refusal = message.accept(data)
            if refusal is not None:
                if refusal >= 0:
                    self._send(message.header_only(data, refusal), client)
            elif self._pending >= MAX_PENDING:
                self._send(message.failure(data, wire.SERVFAIL), client)
            else:
                self._pending += 1
                spawn(self._group, self._datagram(data, client), name="dns relay")

    async def _datagram(self, data: bytes, client: tuple[Any, ...]) -> None:
        try:
            self._send(await self._ask(data, tcp=False), client)
        finally:
            self._pending -= 1

    def _send(self, data: bytes, client: tuple[Any, ...]) -> None:
        try:
            self._socket.sendto(data, client)
        except OSError as error:
            log.debug(f"a reply to {client[0]} was lost: {error}")

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection: a query, its reply, the next query."""
        self._connections += 1
        try:
            while self._connections <= MAX_CONNECTIONS:
                async with asyncio.timeout(IDLE):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(size)
                refusal = message.accept(data)
                if refusal is not None and refusal < 0:
                    break
                if refusal is not None:
                    reply = message.header_only(data, refusal)
                else:
                    reply = await self._ask(data, tcp=True)
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def _ask(self, data: bytes, *, tcp: bool) -> bytes:
        """The first reply that an upstream gives, in order; SERVFAIL when none does."""
        try:
            message.parse(data)
        except wire.Malformed:
            return message.header_only(data, wire.FORMERR)
        why = f"there is no name server in {self._resolv_conf}"
        for upstream in list(self._current()):
            if upstream.fails:
                why = f"{upstream} has not answered"
                continue
            try:
                return await upstream.ask(data, tcp=tcp)
            except Failure as failure:
                why = str(failure)
                upstream.check()
        self._tell(why)
        return message.failure(data, wire.SERVFAIL)

    def _tell(self, why: str) -> None:
        """Each cause at once, then their number from time to time: pods ask again and again."""
        now = time.monotonic()
        since, count = self._told.get(why, (now - SAY_EVERY, 0))
        if now - since < SAY_EVERY:
            self._told[why] = (since, count + 1)
            return
        more = f" ({count} more since the last line)" if count else ""
        log.warning(f"an outside name was not resolved: {why}{more}")
        self._told[why] = (now, 0)

    def _current(self) -> list[Upstream]:
        """The upstreams; read again when resolv.conf changed, as on a laptop that moves."""
        if self._fixed:
            if not self._upstreams:
                self._set(self._fixed)
            return self._upstreams
        try:
            stat = self._resolv_conf.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._stamp = stamp
                own = (self.host, self.port)
                found = [_address(text) for text in nameservers(self._resolv_conf)]
                self._set([address for address in found if address and address != own])
        except OSError as error:
            self._tell(f"{self._resolv_conf}: {error.strerror}")
        return self._upstreams

    def _set(self, addresses: Sequence[tuple[str, int]]) -> None:
        self._drop_upstreams()
        self._upstreams = [Upstream(host, port, group=self._group) for host, port in addresses]
        for upstream in self._upstreams:
            upstream.probe_every = PROBE_EVERY
        self._told.clear()

    def _drop_upstreams(self) -> None:
        for upstream in self._upstreams:
            upstream.close()
        self._upstreams = []


def _address(text: str) -> tuple[str, int] | None:
    """A name server of resolv.conf; None for what is no address."""
    try:
        return split_address(f"[{text}]" if ":" in text else text, 53)
    except ValueError:
        log.warning(f"{text!r} in resolv.conf is no address of a name server")
        return None
