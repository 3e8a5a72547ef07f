"""Asking name servers over sockets, as a stub resolver does: UDP, TCP when truncated, retries.

RFC 1035 section 7, RFC 7766
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from netemu.dns import names, presentation, response, wire
from netemu.dns.message import Reply
from netemu.dns.stub import Outcome, Resolver

Open = Callable[[int, int], socket.socket]
"""Opens a socket of (family, kind), in whatever network namespace."""


class Asker:
    """Asks for a resolver model; blocks. `port` is the servers'.

    With `parallel`, as musl has it, all servers are asked at once, all tries together take the time
    that others give to one, and a failure is no answer: a better one is waited for.
    """

    def __init__(
        self,
        resolver: Resolver,
        open_: Open,
        *,
        port: int = 53,
        tcp: bool = False,
        parallel: bool = False,
    ) -> None:
        self.resolver, self.open, self.port, self.tcp = resolver, open_, port, tcp
        self.parallel = parallel
        self.timeout = resolver.timeout / (resolver.attempts if parallel else 1)
        self._failed: dict[int, Outcome] = {}

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
        found: dict[int, Outcome] = {}
        self._failed = {}
        started = time.perf_counter()
        for _ in range(self.resolver.attempts):
            for some in rounds:
                missing = [qtype for qtype in qtypes if qtype not in found]
                if missing:
                    self._exchange(some, name, missing, found, started)
        late = time.perf_counter() - started
        outcomes = self._failed | found
        return [
            outcomes.get(qtype, Outcome(qtype=qtype, rcode=-1, seconds=late)) for qtype in qtypes
        ]

    def _exchange(
        self,
        servers: Sequence[str],
        name: str,
        qtypes: Sequence[int],
        found: dict[int, Outcome],
        started: float,
    ) -> None:
        """One socket a server; the first good answer to each question counts."""
        asked = {secrets.token_bytes(2): qtype for qtype in qtypes}
        with ExitStack() as stack:
            waiting: dict[socket.socket, str] = {}
            for server in servers:
                family = socket.AF_INET6 if ":" in server else socket.AF_INET
                sock = stack.enter_context(self.open(family, socket.SOCK_DGRAM))
                try:
                    sock.connect((server, self.port))
                    for number, qtype in asked.items():
                        sock.send(number + _query(name, qtype)[2:])
                    waiting[sock] = server
                except OSError:
                    continue  # unreachable: another server
            self._collect(waiting, name, asked, found, started)

    def _collect(
        self,
        waiting: dict[socket.socket, str],
        name: str,
        asked: dict[bytes, int],
        found: dict[int, Outcome],
        started: float,
    ) -> None:
        deadline = time.monotonic() + self.timeout
        while asked and waiting and (left := deadline - time.monotonic()) > 0:
            for sock in select.select(list(waiting), [], [], left)[0]:
                try:
                    self._take(sock.recv(65535), waiting[sock], name, asked, found, started)
                except OSError:
                    del waiting[sock]  # nobody listens there

    def _take(
        self,
        data: bytes,
        server: str,
        name: str,
        asked: dict[bytes, int],
        found: dict[int, Outcome],
        started: float,
    ) -> None:
        qtype = asked.get(data[:2])
        reply = _read(data, name, qtype) if qtype is not None else None
        if reply is None or qtype is None:
            return
        if reply.truncated:
            found[qtype] = self._one_tcp(name, qtype, server)
        else:
            outcome = _outcome(reply, qtype, server, time.perf_counter() - started)
            if outcome.verdict not in ("SERVFAIL", "REFUSED", "NOTIMP"):
                found[qtype] = outcome
            elif self.parallel:
                self._failed[qtype] = outcome
                return
            elif server == self.resolver.nameservers[-1]:
                found[qtype] = outcome
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
