"""The listening socket and the connections of a process that a daemon talks to.

unix(7)
"""

from __future__ import annotations

import os
import socket

from netemu.node.supervisor import wire
from netemu.node.supervisor.loop import READ, WRITE, Loop
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[["Connection", Message, list[int]], None]


class Connection:
    """One client. Messages go out in order; what the socket does not take now, waits here."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.watching = False
        """Whether it wants the events of all containers."""
        self._server = server
        self._reader = wire.Reader(sock)
        self._out: list[tuple[bytes, tuple[int, ...]]] = []
        server.loop.watch(sock.fileno(), self._ready)

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Queue a message; `fds` are closed here once they are sent."""
        if self.sock.fileno() < 0:
            _close_all(fds)
            return
        if fds:
            message = {**message, "fds": len(fds)}
        self._out.append((wire.encode(message), fds))
        if len(self._out) == 1:
            self._flush()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE:
            self._receive()

    def _receive(self) -> None:
        try:
            messages = self._reader.read()
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        for message, fds in messages:
            self._server.handle(self, message, fds)
        if self._reader.closed:
            self.close()

    def _flush(self) -> None:
        while self._out:
            data, fds = self._out[0]
            try:
                sent = wire.send(self.sock, data, fds)
            except BlockingIOError:
                self._server.loop.watch(self.sock.fileno(), self._ready, READ | WRITE)
                return
            except OSError:
                self.close()
                return
            _close_all(fds)
            if sent < len(data):
                self._out[0] = (data[sent:], ())
            else:
                del self._out[0]
        self._server.loop.watch(self.sock.fileno(), self._ready)

    def close(self) -> None:
        if self.sock.fileno() < 0:
            return
        self._server.loop.forget(self.sock.fileno())
        self.sock.close()
        for _, fds in self._out:
            _close_all(fds)
        self._server.connections.discard(self)


class Server:
    """Accepts clients on a unix socket that only root may open."""

    def __init__(self, loop: Loop, listener: socket.socket, handle: Handler) -> None:
        self.loop = loop
        self.handle = handle
        self.connections: set[Connection] = set()
        self._listener = listener
        loop.watch(listener.fileno(), self._accept)

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self.connections.add(Connection(sock, self))

    def broadcast(self, message: Message) -> None:
        for connection in list(self.connections):
            if connection.watching:
                connection.send(message)


def listen(path: str) -> socket.socket:
    """A listening socket at `path`, made in one step so that nobody sees it half ready."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    temporary = f"{path}.{os.getpid()}"
    if os.path.exists(temporary):
        os.unlink(temporary)
    sock.bind(temporary)
    os.chmod(temporary, 0o600)
    sock.listen(64)
    os.rename(temporary, path)
    return sock


def _close_all(fds: tuple[int, ...]) -> None:
    for descriptor in fds:
        os.close(descriptor)
