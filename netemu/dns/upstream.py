"""One upstream name server: exchanges over UDP, TCP or TLS, and whether it is alive.

UDP queries share a few connected sockets, each reply matched by id and question, so that a lying
or late datagram is never taken for the answer. Connected sockets also hear at once that nobody
listens.
RFC 7766, RFC 7858
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netemu.aio import spawn
from netemu.dns import wire
from netemu.dns.message import Query
from netemu.dns.plugin import Failure

if TYPE_CHECKING:
    import ssl  # costs a tenth of the start, and few need it

READ_TIMEOUT = 2.0
DIAL_TIMEOUT = 2.0
MAX_CHANNELS = 16
MAX_IN_FLIGHT = 1000
"""Queries on one socket that wait; the next one opens another socket."""
MAX_STREAMS = 256
"""New connections of one upstream that may be under way."""
PROBE_EVERY = 0.5
MAX_REPLY = 65535


@dataclass(slots=True)
class Tls:
    """How to speak TLS. `name` is what the server's certificate must say; empty: its address."""

    name: str = ""
    ca: Path | None = None
    """Whom to trust; none: the system."""
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """OSError, ValueError when a file cannot be used."""
        import ssl

        made = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            made.load_cert_chain(self.cert, self.key)
        return made


class Upstream:
    """One address. `host` is an IP address; `tls` how to speak TLS, if that is spoken."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        group: asyncio.TaskGroup,
        tls: Tls | None = None,
        expire: float = 10.0,
    ) -> None:
        self.host, self.port, self.tls = host, port, tls
        self.expire = expire
        self.max_idle = 0
        """Connections kept for further queries; 0: as many as there are."""
        self._context: ssl.SSLContext | None = None
        self.group = group
        self.fails = 0
        self.probe_name, self.probe_rd, self.probe_tcp = wire.ROOT, True, False
        self.probe_every = PROBE_EVERY
        self._channels: list[_Channel] = []
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._streams = 0
        self._probing: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    async def ask(self, data: bytes, *, tcp: bool) -> bytes:
        """Send a query (its id is replaced), return the reply with the query's own id.

        Raises Failure when none comes within two seconds.
        """
        question = _question(data)
        key = _folded(question)
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                reply = await (self._stream(data, key) if tcp or self.tls else self._datagram(data))
        except TimeoutError:
            raise Failure(f"{self}: no answer within {READ_TIMEOUT:g} s") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Failure(f"{self}: {error}") from None
        if _is_bare(reply):  # what it is about, as other replies say
            reply = reply[:4] + b"\0\1" + bytes(6) + question
        return data[:2] + reply[2:]

    async def _datagram(self, data: bytes) -> bytes:
        channel = self._channel()
        return await channel.ask(data)

    def _channel(self) -> _Channel:
        now = time.monotonic()
        for channel in list(self._channels):
            if channel.closed or (not channel.waiting and now - channel.used > self.expire):
                channel.close()
                self._channels.remove(channel)
        free = [channel for channel in self._channels if len(channel.waiting) < MAX_IN_FLIGHT]
        if free and (len(free) >= 2 or free[0].waiting == {}):
            return secrets.choice(free)
        if len(self._channels) >= MAX_CHANNELS:
            if not free:
                raise Failure(f"{self}: {MAX_CHANNELS * MAX_IN_FLIGHT} queries wait for it")
            return secrets.choice(free)
        channel = _Channel(self.host, self.port)
        self._channels.append(channel)
        return channel

    async def _stream(self, data: bytes, key: bytes) -> bytes:
        """Over a connection that is kept for the next query; a dead one is replaced once."""
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since > self.expire or writer.is_closing() or reader.at_eof():
                writer.close()
                continue
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                return await self._on_stream(data, key, reader, writer)
        if self._streams >= MAX_STREAMS:
            raise Failure(f"{self}: {MAX_STREAMS} connections wait for it")
        self._streams += 1
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                reader, writer = await self._connect()
            return await self._on_stream(data, key, reader, writer)
        finally:
            self._streams -= 1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.tls is None:
            return await asyncio.open_connection(self.host, self.port)
        self._context = self._context or self.tls.context()
        return await asyncio.open_connection(
            self.host, self.port, ssl=self._context, server_hostname=self.tls.name or self.host
        )

    async def _on_stream(
        self, data: bytes, key: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        number = secrets.token_bytes(2)
        try:
            writer.write(len(data).to_bytes(2, "big") + number + data[2:])
            await writer.drain()
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                reply = await reader.readexactly(size)
                if reply[:2] == number and _answers(reply, key):
                    break
        except BaseException:
            writer.close()
            raise
        if len(self._idle) < (self.max_idle or MAX_STREAMS):
            self._idle.append((time.monotonic(), reader, writer))
        else:
            writer.close()
        return reply

    def check(self) -> None:
        """Something went wrong: probe twice a second until it answers again."""
        if self._probing is None or self._probing.done():
            self._probing = spawn(self.group, self._probe(), name=f"dns probe {self}")

    async def _probe(self) -> None:
        flags = wire.RD if self.probe_rd else 0
        question = self.probe_name + wire.QUESTION.pack(wire.NS, wire.IN)
        query = wire.HEADER.pack(0, flags, 1, 0, 0, 0) + question
        while True:
            try:
                await self.ask(query, tcp=self.probe_tcp)
            except Failure:
                self.fails += 1
            else:
                self.fails = 0
                return
            await asyncio.sleep(self.probe_every)

    def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        for channel in self._channels:
            channel.close()
        for _, _, writer in self._idle:
            writer.close()
        self._channels.clear()
        self._idle.clear()


class _Channel:
    """One connected UDP socket and the queries that wait on it."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.waiting: dict[bytes, tuple[bytes, asyncio.Future[bytes]]] = {}
        self.used = time.monotonic()
        self.closed = False
        try:
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.socket.fileno(), self._readable)

    async def ask(self, data: bytes) -> bytes:
        number = secrets.token_bytes(2)
        while number in self.waiting:
            number = secrets.token_bytes(2)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self.waiting[number] = (_folded(_question(data)), future)
        self.used = time.monotonic()
        try:
            self.socket.send(number + data[2:])
            return await future
        finally:
            self.waiting.pop(number, None)

    def _readable(self) -> None:
        for _ in range(64):
            try:
                data = self.socket.recv(MAX_REPLY)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                return
            entry = self.waiting.get(data[:2])
            if entry is not None and not entry[1].done() and _answers(data, entry[0]):
                entry[1].set_result(data)

    def _fail(self, error: OSError) -> None:
        for _, future in self.waiting.values():
            if not future.done():
                future.set_exception(OSError(error.errno, error.strerror))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self.socket.fileno())
            self.socket.close()
            self._fail(OSError(103, "connection aborted"))


def _question(data: bytes) -> bytes:
    """The question of a message; empty when there is none to compare."""
    if len(data) < 17 or data[4:6] != b"\0\1":
        return b""
    try:
        _, end = wire.read_question(data)
    except wire.Malformed:
        return b""
    return data[12 : end + 4]


def _folded(question: bytes) -> bytes:
    """With the name, not the type, in lower case."""
    return question[:-4].lower() + question[-4:]


_FAILURES = (wire.FORMERR, wire.SERVFAIL, wire.NOTIMP, wire.REFUSED)


def _answers(reply: bytes, question: bytes) -> bool:
    """Whether a reply is about the (folded) question, or says that it cannot be answered."""
    return _folded(_question(reply)) == question or _is_bare(reply)


def _is_bare(reply: bytes) -> bool:
    """A failure without question or records, as servers say that cannot read or serve a query."""
    if len(reply) < 12 or any(reply[4:12]):
        return False
    return bool(reply[2] & 0x80) and reply[3] & 15 in _FAILURES


def render_query(query: Query) -> bytes:
    """A query as it goes upstream: the client's name, RD and CD, and an OPT when it had one."""
    flags = query.flags & (wire.RD | wire.CD | wire.AD)
    body = query.asked + wire.QUESTION.pack(query.qtype, query.qclass)
    edns = query.edns
    if edns is not None:
        ttl = 0x8000 if edns.do else 0
        options = b"".join(wire.OPTION.pack(code, len(data)) + data for code, data in edns.options)
        body += wire.ROOT + wire.FIXED.pack(wire.OPT, edns.size, ttl, len(options)) + options
    return wire.HEADER.pack(query.id, flags, 1, 0, 0, 1 if edns is not None else 0) + body
