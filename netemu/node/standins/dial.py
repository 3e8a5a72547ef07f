"""agnhost netexec's /dial: asks another server from the pod it stands for, and says what came.

One try after the other, none blocking: the server asked is often a stand-in of this very process.
Hosts are addresses; names would need a resolver that does not block either.
https://github.com/kubernetes/kubernetes/blob/master/test/images/agnhost/netexec/netexec.go
"""

from __future__ import annotations

import json
import os
import socket

from netemu.node.standins.http import Answer
from netemu.node.standins.sockets import open_beside
from netemu.node.supervisor.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netemu.node.supervisor.loop import Loop

_LIMIT = 5.0
"""Seconds for one try, as netexec has it."""
_KINDS = {"http": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Dial:
    """What a /dial request asks for; `refused` says why it cannot be done."""

    __slots__ = ("address", "family", "protocol", "request", "tries", "refused")

    def __init__(self, query: Mapping[str, str]) -> None:
        self.protocol = (query.get("protocol") or "http").lower()
        self.request = query.get("request", "")
        tries, host, port = query.get("tries") or "1", query.get("host", ""), query.get("port", "")
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.refused = ""
        if not tries.isdigit():
            self.refused = f"tries parameter is invalid: {tries!r}\n"
        elif not self.request or any(letter <= " " for letter in self.request):
            self.refused = "request parameter not specified\n"
        elif self.protocol not in _KINDS:
            self.refused = f"unsupported protocol: {self.protocol}\n"
        elif not (_is_address(self.family, host) and port.isdigit() and int(port) < 65536):
            self.refused = "host and/or port param are invalid\n"
        self.tries = 0 if self.refused else int(tries)
        self.address = (host, 0 if self.refused else int(port))

    @property
    def message(self) -> bytes:
        if self.protocol == "udp":
            return self.request.encode()
        host, port = self.address
        to = f"[{host}]:{port}" if self.family == socket.AF_INET6 else f"{host}:{port}"
        return f"GET /{self.request} HTTP/1.0\r\nHost: {to}\r\n\r\n".encode()


class Dialler:
    """Runs the tries of one Dial from the namespace of `near`; `tell` gets the answer."""

    def __init__(
        self, loop: Loop, near: socket.socket, dial: Dial, tell: Callable[[Answer], None]
    ) -> None:
        self._loop, self._near, self._dial, self._tell = loop, near, dial, tell
        self._responses: list[str] = []
        self._errors: list[str] = []
        self._sock: socket.socket | None = None
        self._in = b""

    def next(self) -> None:
        if len(self._responses) + len(self._errors) >= self._dial.tries or self._near.fileno() < 0:
            found = {"responses": self._responses, "errors": self._errors}
            self._tell(Answer(json.dumps({name: each for name, each in found.items() if each})))
            return
        self._in = b""
        try:
            sock = open_beside(self._near, self._dial.family, _KINDS[self._dial.protocol])
        except OSError as error:
            self._errors.append(str(error))
            self._loop.after(0, self.next)
            return
        self._sock = sock
        sock.connect_ex(self._dial.address)  # how it went is told when the socket is ready
        self._loop.watch(sock.fileno(), lambda _: self._connected(sock), WRITE)
        self._loop.after(_LIMIT, lambda: self._fail(sock, "i/o timeout"))

    def _connected(self, sock: socket.socket) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(sock, os.strerror(code).lower())
            return
        self._loop.watch(sock.fileno(), lambda _: self._readable(sock), READ)
        try:
            sock.send(self._dial.message)
        except OSError as error:
            self._fail(sock, str(error.strerror).lower())

    def _readable(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(sock, str(error.strerror).lower())
            return
        self._in += data
        if self._dial.protocol == "udp":
            self._end(sock, self._responses, self._in)
        elif not data:
            _, found, body = self._in.partition(b"\r\n\r\n")
            if found:
                self._end(sock, self._responses, body)
            else:
                self._fail(sock, "EOF")

    def _fail(self, sock: socket.socket, why: str) -> None:
        host, port = self._dial.address
        self._end(sock, self._errors, f"dial {host} port {port}: {why}".encode())

    def _end(self, sock: socket.socket, results: list[str], text: bytes) -> None:
        if self._sock is not sock:
            return  # the time of a try that has ended
        self._sock = None
        self._loop.forget(sock.fileno())
        sock.close()
        results.append(text.decode("utf-8", "replace"))
        self.next()


def _is_address(family: int, host: str) -> bool:
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):
        return False
    return True
