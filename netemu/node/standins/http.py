"""HTTP/1.1 for stand-ins: requests in, answers out, keep-alive, no more than that needs.

RFC 9112. A first line that is no HTTP request is answered with itself, so that `nc` works too.
"""

from __future__ import annotations

import socket

from netemu.node.standins.sockets import plain
from netemu.node.supervisor.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netemu.node.standins.container import StandIn
    from netemu.node.standins.dial import Dial
    from netemu.node.supervisor.loop import Loop

MAX_HEAD = 64 * 1024
_REASONS = {
    200: "OK", 204: "No Content", 301: "Moved Permanently", 302: "Found", 400: "Bad Request",
    403: "Forbidden", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error",
    502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


class Request:
    """`client` is `(address, port)`; header names are in lower case."""

    __slots__ = ("method", "target", "headers", "body", "client", "port")

    def __init__(self, method: str, target: str, headers: dict[str, str], port: int) -> None:
        self.method, self.target, self.headers, self.port = method, target, headers, port
        self.body = b""
        self.client = ("", 0)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The parameters, the first of each name, percent-decoded."""
        found: dict[str, str] = {}
        for pair in self.target.partition("?")[2].split("&"):
            name, _, value = pair.partition("=")
            if name:
                found.setdefault(_decode(name), _decode(value))
        return found


class Answer:
    __slots__ = ("status", "body", "kind", "headers", "delay", "dial")

    def __init__(
        self,
        body: str | bytes = "",
        status: int = 200,
        kind: str = "text/plain; charset=utf-8",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.status, self.kind, self.headers = status, kind, headers
        self.delay = 0.0
        """Seconds to wait before it is sent."""
        self.dial: Dial | None = None
        """What to ask another server first; its answer is then sent instead of this one."""


class HttpConnection:
    """One accepted connection of a stand-in."""

    __slots__ = ("_sock", "_owner", "_loop", "_in", "_out", "_port", "_peer", "_closing", "_busy")

    def __init__(self, sock: socket.socket, owner: StandIn, loop: Loop, port: int) -> None:
        sock.setblocking(False)
        self._sock, self._owner, self._loop, self._port = sock, owner, loop, port
        self._in = b""
        self._out = b""
        self._closing = False
        self._busy = False
        try:
            peer = sock.getpeername()
            self._peer = (plain(peer[0]), int(peer[1]))
        except OSError:
            self._peer = ("", 0)
        loop.watch(sock.fileno(), self._ready)

    @property
    def idle(self) -> bool:
        return not (self._in or self._out or self._busy)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE and self._sock.fileno() >= 0:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not data:
            self.close()
            return
        self._in += data
        self._serve()

    def _serve(self) -> None:
        """Answer the whole requests that have arrived, in order."""
        while self._in and not self._busy and not self._closing:
            if not _looks_like_http(self._in):
                self._out, self._in = self._out + self._in, b""
                break
            request = self._take()
            if request is None:
                break
            request.client = self._peer
            answer = self._owner.answer(request)
            if answer.dial is not None:
                self._busy = True
                self._owner.dial(self._sock, answer.dial, lambda a, r=request: self._told(r, a))  # type: ignore[misc]
                break
            self._owner.log_request(request, answer)
            if answer.delay > 0:
                self._busy = True
                self._loop.after(answer.delay, lambda r=request, a=answer: self._later(r, a))  # type: ignore[misc]
                break
            self._queue(request, answer)
        if self._out:
            self._flush()

    def _told(self, request: Request, answer: Answer) -> None:
        self._owner.log_request(request, answer)
        self._later(request, answer)

    def _later(self, request: Request, answer: Answer) -> None:
        self._busy = False
        if self._sock.fileno() >= 0:
            self._queue(request, answer)
            self._flush()
            self._serve()

    def _take(self) -> Request | None:
        """The next whole request, taken off the buffer."""
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            if len(self._in) > MAX_HEAD:
                self.close()
            return None
        lines = self._in[:end].decode("latin-1").split("\r\n")
        method, target, _ = [*lines[0].split(" "), "", ""][:3]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        request = Request(method, target, headers, self._port)
        rest = self._in[end + 4 :]
        taken = _body(headers, rest)
        if taken is None:
            if headers.pop("expect", ""):
                self._in = self._in[:end].replace(b"Expect:", b"X-Expect:") + b"\r\n\r\n" + rest
                self._out += b"HTTP/1.1 100 Continue\r\n\r\n"
            return None
        request.body, self._in = taken
        if headers.get("connection", "").lower() == "close" or lines[0].endswith("HTTP/1.0"):
            self._closing = headers.get("connection", "").lower() != "keep-alive"
        return request

    def _queue(self, request: Request, answer: Answer) -> None:
        self._closing = self._closing or self._owner.stopping
        head = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}"]
        head.append(f"Content-Type: {answer.kind}")
        head.append(f"Content-Length: {len(answer.body)}")
        head += [f"{name}: {value}" for name, value in answer.headers]
        head.append(f"Connection: {'close' if self._closing else 'keep-alive'}")
        body = b"" if request.method == "HEAD" else answer.body
        self._out += "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body

    def _flush(self) -> None:
        try:
            while self._out:
                self._out = self._out[self._sock.send(self._out) :]
        except BlockingIOError:
            self._loop.watch(self._sock.fileno(), self._ready, READ | WRITE)
            return
        except OSError:
            self.close()
            return
        if self._closing and not self._busy:
            self.close()
        else:
            self._loop.watch(self._sock.fileno(), self._ready)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._owner.connection_closed(self)


def _looks_like_http(data: bytes) -> bool:
    line, end, _ = data.partition(b"\n")
    word = line[:20].split(b" ")[0]
    if not word.isalpha() or not word.isupper():
        return False
    return not end or b"HTTP/" in line


def _body(headers: dict[str, str], rest: bytes) -> tuple[bytes, bytes] | None:
    """(body, what follows it), or None while it has not all arrived."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunked(rest)
    length = headers.get("content-length", "0")
    size = int(length) if length.isdigit() else 0
    return (rest[:size], rest[size:]) if len(rest) >= size else None


def _chunked(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        size = int(line.split(b";")[0] or b"0", 16)
        if len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
        if size == 0:
            return body, rest


def _decode(text: str) -> str:
    parts = text.replace("+", " ").split("%")
    raw = parts[0].encode()
    for part in parts[1:]:
        try:
            raw += bytes([int(part[:2], 16)]) + part[2:].encode()
        except ValueError:
            raw += b"%" + part.encode()
    return raw.decode("utf-8", "replace")
