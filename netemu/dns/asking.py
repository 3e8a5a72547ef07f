"""Asking name servers over sockets, as a stub resolver does: UDP, TCP when truncated, retries.

RFC 1035 section 7, RFC 7766
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from netemu.dns import names, presentation, response, wire
from netemu.dns.message import Reply
from netemu.dns.stub import Outcome, Resolver

Open = Callable[[int, int], socket.socket]
"""Opens a socket of (family, kind), in whatever network namespace."""


@dataclass(slots=True)
class _Lookup:
    """One name's: the questions by id, the sockets by server, and what came of it."""

    name: str
    asked: dict[bytes, int]
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    found: dict[int, Outcome] = field(default_factory=dict)
    failed: dict[int, Outcome] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def missing(self) -> dict[bytes, int]:
        return {number: q for number, q in self.asked.items() if q not in self.found}

    def close(self, *servers: str) -> None:
        for server in servers:
            if server in self.sockets:
                self.sockets.pop(server).close()


class Asker:
    """Asks as `model`'s resolver does; blocks. `port` is the servers'.

    glibc keeps its socket for all tries of a name, unless nobody listens there: a translation to a
    server that is gone holds for each of them. Go takes a new one each time. musl asks all servers
    at once, its tries together take the time that others give to one, and a failure is no answer: a
    better one is waited for. It hears no ICMP errors either.
    """

    def __init__(
        self,
        resolver: Resolver,
        open_: Open,
        *,
        port: int = 53,
        tcp: bool = False,
        model: str = "glibc",
    ) -> None:
        self.resolver, self.open, self.port, self.tcp = resolver, open_, port, tcp
        self.parallel, self.reopen = model == "musl", model == "go"
        self.timeout = resolver.timeout / (resolver.attempts if self.parallel else 1)

    def ask(self, name: str, qtypes: Sequence[int]) -> list[Outcome]:
        """All types of one name; in parallel unless the resolver has single-request."""
        if self.tcp:
            return [self._one_tcp(name, qtype) for qtype in qtypes]
        if self.resolver.single_request:
            return [self._udp(name, [qtype])[0] for qtype in qtypes]
        return self._udp(name, qtypes)

    def _udp(self, name: str, qtypes: Sequence[int]) -> list[Outcome]:
        servers = self.resolver.nameservers
        rounds = [servers] if self.parallel else [(server,) for server in servers]
        lookup = _Lookup(name, {secrets.token_bytes(2): qtype for qtype in qtypes})
        try:
            for _ in range(self.resolver.attempts):
                for some in rounds:
                    if lookup.missing():
                        self._exchange(lookup, some)
        finally:
            lookup.close(*servers)
        outcomes = lookup.failed | lookup.found
        silence = lookup.seconds
        return [outcomes.get(q, Outcome(qtype=q, rcode=-1, seconds=silence)) for q in qtypes]

    def _exchange(self, lookup: _Lookup, servers: Sequence[str]) -> None:
        """One try; the first good answer to each question counts."""
        asked = lookup.missing()
        waiting: dict[socket.socket, str] = {}
        for server in servers:
            if self.reopen:
                lookup.close(server)
            try:
                if server not in lookup.sockets:
                    lookup.sockets[server] = self._connected(server)
                for number, qtype in asked.items():
                    lookup.sockets[server].send(number + _query(lookup.name, qtype)[2:])
            except OSError:
                if server not in lookup.sockets or not self.parallel:
                    lookup.close(server)
                    continue  # unreachable: another server
            waiting[lookup.sockets[server]] = server
        deadline = time.monotonic() + self.timeout
        while asked and waiting and (left := deadline - time.monotonic()) > 0:
            for sock in select.select(list(waiting), [], [], left)[0]:
                try:
                    data = sock.recv(65535)
                except OSError:
                    if not self.parallel:  # nobody listens there
                        lookup.close(waiting.pop(sock))
                    continue
                self._take(data, waiting[sock], lookup, asked)

    def _connected(self, server: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        sock = self.open(family, socket.SOCK_DGRAM)
        try:
            sock.connect((server, self.port))
        except OSError:
            sock.close()
            raise
        return sock

    def _take(self, data: bytes, server: str, lookup: _Lookup, asked: dict[bytes, int]) -> None:
        qtype = asked.get(data[:2])
        reply = _read(data, lookup.name, qtype) if qtype is not None else None
        if reply is None or qtype is None:
            return
        if reply.truncated:
            lookup.found[qtype] = self._one_tcp(lookup.name, qtype, server)
        else:
            outcome = _outcome(reply, qtype, server, lookup.seconds)
            if outcome.verdict not in ("SERVFAIL", "REFUSED", "NOTIMP"):
                lookup.found[qtype] = outcome
            elif self.parallel:
                lookup.failed[qtype] = outcome
                return
            elif server == self.resolver.nameservers[-1]:
                lookup.found[qtype] = outcome
        del asked[data[:2]]

    def _one_tcp(self, name: str, qtype: int, server: str = "") -> Outcome:
        server = server or self.resolver.nameservers[0]
        started = time.perf_counter()
        query = _query(name, qtype)
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with self.open(family, socket.SOCK_STREAM) as sock:
            try:
                sock.settimeout(self.resolver.timeout)
                sock.connect((server, self.port))
                sock.sendall(len(query).to_bytes(2, "big") + query)
                data = _exactly(sock, int.from_bytes(_exactly(sock, 2), "big"))
            except OSError:
                return Outcome(qtype=qtype, rcode=-1, server=server)
        reply = _read(data, name, qtype)
        if reply is None:
            return Outcome(qtype=qtype, rcode=-1, server=server)
        return _outcome(reply, qtype, server, time.perf_counter() - started)


def _query(name: str, qtype: int) -> bytes:
    header = wire.HEADER.pack(secrets.randbits(16), wire.RD, 1, 0, 0, 0)
    return header + wire.from_text(name) + wire.QUESTION.pack(qtype, wire.IN)


def _read(data: bytes, name: str, qtype: int) -> Reply | None:
    try:
        _, question, kind, _, reply = response.read(data)
    except wire.Malformed:
        return None
    same = question.lower() == wire.from_text(name).lower() and kind == qtype
    return reply if same else None


def _outcome(reply: Reply, qtype: int, server: str, seconds: float) -> Outcome:
    targets = [names.target(r) or b"" for r in reply.answer if r.type == wire.CNAME]
    wanted = [r for r in reply.answer if r.type == qtype]
    return Outcome(
        qtype=qtype,
        rcode=reply.rcode,
        server=server,
        seconds=seconds,
        addresses=tuple(presentation.rdata_text(record) for record in wanted),
        aliases=tuple(wire.to_text(t) for t in targets) if qtype != wire.CNAME else (),
        truncated=reply.truncated,
    )


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise OSError("the connection was closed")
        data += part
    return data
