"""HTTP/1.1 over a unix stream socket, as much of it as the command line asks for.

The standard library's client brings forty modules along, of mail and of TLS: a third of the time
that `netemu apply` takes to start. https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from io import BufferedReader

_LONGEST = 1 << 16
"""Of one line: of the head, or of a chunk's size."""
_PIECE = 1 << 16
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_OF_PATHS = _PLAIN | frozenset(b"!$&'()*+,/:;=?@%")


class BadAnswer(Exception):
    """What came is not an answer, or not all of one."""


class HungUp(ConnectionError):
    """The server closed the connection before it answered."""


class Connection:
    """One request after the other; each answer is to be read before the next one."""

    def __init__(self, path: str, timeout: float | None) -> None:
        """OSError when nobody listens there."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.wait_at_most(timeout)
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise
        self._stream = self._socket.makefile("rb")

    def wait_at_most(self, seconds: float | None) -> None:
        """For each piece of an answer; None: for ever."""
        self._socket.settimeout(seconds)

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Send a request and read the head of its answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        return Answer(self._stream)

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class Answer:
    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream
        version, status, self.reason = self._status()
        if not version.startswith("HTTP/1.") or not status.isdigit():
            raise BadAnswer(f"not HTTP/1.1: {version} {status} {self.reason}")
        self.status = int(status)
        self._headers = list(self._fields())

    def _status(self) -> tuple[str, str, str]:
        first = self._stream.readline(_LONGEST)
        if not first:
            raise HungUp("closed before an answer")
        version, _, rest = first.decode("latin-1").rstrip("\r\n").partition(" ")
        status, _, reason = rest.partition(" ")
        return version, status, reason

    def _fields(self) -> Iterator[tuple[str, str]]:
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()

    def _line(self) -> bytes:
        line = self._stream.readline(_LONGEST)
        if not line.endswith(b"\n"):
            raise BadAnswer("cut off within a line, or a line without end")
        return line.rstrip(b"\r\n")

    def headers(self, name: str) -> list[str]:
        """The values of all headers of that name, which is in small letters."""
        return [value for each, value in self._headers if each == name]

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces())

    def lines(self) -> Iterator[bytes]:
        """The lines of the body, each as soon as it is there."""
        rest = b""
        for piece in self._pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line + b"\n"
        if rest:
            yield rest

    def _pieces(self) -> Iterator[bytes]:
        if self.status in (204, 304):
            return
        length = self.headers("content-length")
        if "chunked" in self.headers("transfer-encoding"):
            while size := _number(self._line().partition(b";")[0], 16):
                yield from self._exactly(size)
                self._line()
            while self._line():
                pass  # trailers
        elif length:
            yield from self._exactly(_number(length[0].encode(), 10))
        else:
            while piece := self._stream.read1(_PIECE):
                yield piece

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._stream.read(min(size, _PIECE))
            if not piece:
                raise BadAnswer(f"{size} bytes are missing")
            size -= len(piece)
            yield piece


def _number(text: bytes, base: int) -> int:
    try:
        return int(text, base)
    except ValueError as error:
        raise BadAnswer(f"not a length: {text!r}") from error


def target(path: str, query: Mapping[str, str]) -> str:
    """What stands in the request's first line; whatever may not stand there is escaped."""
    asked = "&".join(f"{_escaped(k, _PLAIN)}={_escaped(v, _PLAIN)}" for k, v in query.items())
    return _escaped(path, _OF_PATHS) + (f"?{asked}" if asked else "")


def _escaped(text: str, plain: frozenset[int]) -> str:
    return "".join(chr(b) if b in plain else f"%{b:02X}" for b in text.encode())
