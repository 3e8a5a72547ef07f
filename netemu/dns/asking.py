"""Asking name servers over sockets, as a stub resolver does: UDP, TCP when truncated, retries."""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Callable, Sequence

from netemu.dns import names, presentation, response, wire
from netemu.dns.message import Reply
from netemu.dns.stub import Outcome, Resolver

Open = Callable[[int, int], socket.socket]
"""Opens a socket of (family, kind), in whatever network namespace."""


class Asker:
    """Asks for a resolver model; blocks. `port` is the servers'."""

    def __init__(
        self, resolver: Resolver, open_: Open, *, port: int = 53, tcp: bool = False
    ) -> None:
        self.resolver, self.open, self.port, self.tcp = resolver, open_, port, tcp

    def ask(self, name: str, qtypes: Sequence[int]) -> list[Outcome]:
        """All types of one name; in parallel unless the resolver has single-request."""
        if self.tcp:
            return [self._one_tcp(name, qtype) for qtype in qtypes]
        if self.resolver.single_request:
            return [self._udp(name, [qtype])[0] for qtype in qtypes]
        return self._udp(name, qtypes)

    def _udp(self, name: str, qtypes: Sequence[int]) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        started = time.perf_counter()
        for _ in range(self.resolver.attempts):
            for server in self.resolver.nameservers:
                missing = [qtype for qtype in qtypes if qtype not in found]
                if missing:
                    self._exchange(server, name, missing, found, started)
        late = time.perf_counter() - started
        return [found.get(qtype, Outcome(qtype=qtype, rcode=-1, seconds=late)) for qtype in qtypes]

    def _exchange(
        self,
        server: str,
        name: str,
        qtypes: Sequence[int],
        found: dict[int, Outcome],
        started: float,
    ) -> None:
        asked = {secrets.token_bytes(2): qtype for qtype in qtypes}
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with self.open(family, socket.SOCK_DGRAM) as sock:
            try:
                sock.connect((server, self.port))
                for number, qtype in asked.items():
                    sock.send(number + _query(name, qtype)[2:])
                self._collect(sock, server, name, asked, found, started)
            except OSError:
                return  # refused or unreachable: the next server

    def _collect(
        self,
        sock: socket.socket,
        server: str,
        name: str,
        asked: dict[bytes, int],
        found: dict[int, Outcome],
        started: float,
    ) -> None:
        deadline = time.monotonic() + self.resolver.timeout
        while asked and (left := deadline - time.monotonic()) > 0:
            if not select.select([sock], [], [], left)[0]:
                return
            data = sock.recv(65535)
            qtype = asked.get(data[:2])
            reply = _read(data, name, qtype) if qtype is not None else None
            if reply is None or qtype is None:
                continue
            del asked[data[:2]]
            if reply.truncated:
                found[qtype] = self._one_tcp(name, qtype, server)
                continue
            seconds = time.perf_counter() - started
            outcome = _outcome(reply, qtype, server, seconds)
            if outcome.verdict not in ("SERVFAIL", "REFUSED", "NOTIMP") or (
                server == self.resolver.nameservers[-1]
            ):
                found[qtype] = outcome

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
