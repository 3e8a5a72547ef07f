"""One container that is stood in for: its sockets, its connections, its log."""

from __future__ import annotations

import socket
import time

from netemu.node.standins.dial import Dial, Dialler
from netemu.node.standins.http import Answer, HttpConnection, Request
from netemu.node.standins.programs import PROGRAMS, answer_datagram
from netemu.node.standins.sockets import plain
from netemu.node.supervisor.logs import LogFile
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from netemu.node.supervisor.loop import Loop

    Wrap = Callable[[socket.socket], socket.socket]


class StandIn:
    __slots__ = (
        "id", "spec", "state", "started", "finished", "code", "signal", "message", "stopping",
        "spent",
        "_loop", "_sockets", "_connections", "_log", "_program",
    )  # fmt: skip

    def __init__(self, spec: Message, loop: Loop) -> None:
        self.id: str = spec["id"]
        self.spec = spec
        self.state = "running"
        self.started = time.time()
        self.finished = 0.0
        self.code = self.signal = 0
        self.message = ""
        self.stopping = False
        self.spent = 0
        """Nanoseconds of processor time that its answers took."""
        self._loop = loop
        self._sockets: list[socket.socket] = []
        self._connections: set[HttpConnection] = set()
        self._log = LogFile(spec["log"]) if spec.get("log") else None
        self._program = PROGRAMS.get(spec.get("program", ""), PROGRAMS[""])

    def describe(self) -> Message:
        return {
            "id": self.id,
            "pod": self.spec["pod"],
            "name": self.spec.get("name", ""),
            "meta": self.spec.get("meta"),
            "state": self.state,
            "pid": 0,
            "started": self.started,
            "finished": self.finished,
            "code": self.code,
            "signal": self.signal,
            "message": self.message,
            "oom": False,
        }

    def listen(self, sockets: list[socket.socket], ports: list[Message]) -> None:
        """Serve on sockets that were opened for `ports`, in the same order."""
        self._sockets = sockets
        for sock, entry in zip(sockets, ports, strict=True):
            if sock.type == socket.SOCK_DGRAM:
                self._loop.watch(sock.fileno(), lambda _, sock=sock: self._datagrams(sock))  # type: ignore[misc]
            else:
                port, wrap = entry["port"], self._wrapper() if entry.get("tls") else None
                self._loop.watch(
                    sock.fileno(),
                    lambda _, sock=sock, port=port, wrap=wrap: self._accept(sock, port, wrap),  # type: ignore[misc]
                )

    def _wrapper(self) -> Wrap:
        from netemu.node.standins import tls

        context = tls.server_context(self.spec["tls"])
        return lambda accepted: tls.wrapped(context, accepted)

    def _accept(self, sock: socket.socket, port: int, wrap: Wrap | None) -> None:
        for _ in range(64):
            try:
                accepted, _ = sock.accept()
                accepted = wrap(accepted) if wrap is not None else accepted
            except OSError:
                return
            self._connections.add(HttpConnection(accepted, self, self._loop, port))

    def _datagrams(self, sock: socket.socket) -> None:
        for _ in range(64):
            try:
                data, client = sock.recvfrom(65535)
                peer = (plain(client[0]), client[1])
                program = self.spec.get("program", "")
                answer = answer_datagram(program, self.spec["identity"], data, peer)
                if answer is not None:
                    sock.sendto(answer, client)
            except OSError:
                return

    def answer(self, request: Request) -> Answer:
        start = time.thread_time_ns()
        answer = self._program(self.spec["identity"], request)
        self.spent += time.thread_time_ns() - start
        return answer

    def dial(self, near: socket.socket, dial: Dial, tell: Callable[[Answer], None]) -> None:
        """Ask another server from the pod's network, which the connection `near` is in."""
        Dialler(self._loop, near, dial, tell).next()

    def log_request(self, request: Request, answer: Answer) -> None:
        """An access log line in the format that nginx and Apache call combined."""
        if self._log is None:
            return
        agent = request.headers.get("user-agent", "-")
        when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        line = (
            f'{request.client[0]} - - [{when}] "{request.method} {request.target} HTTP/1.1" '
            f'{answer.status} {len(answer.body)} "-" "{agent}"\n'
        )
        self._log.feed("stdout", line.encode("utf-8", "replace"))

    def write_error(self, text: str) -> None:
        if self._log is not None:
            self._log.feed("stderr", f"{text}\n".encode())

    def connection_closed(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)

    @property
    def busy(self) -> bool:
        return bool(self._connections)

    def stop(self) -> None:
        """Accept no more; idle connections end now, others after their answer."""
        self.stopping = True
        for sock in self._sockets:
            self._loop.forget(sock.fileno())
            sock.close()
        self._sockets = []
        for connection in list(self._connections):
            if connection.idle:
                connection.close()

    def end(self, code: int, signal: int = 0) -> None:
        """Close everything; the container has exited."""
        self.stop()
        for connection in list(self._connections):
            connection.close()
        self.state, self.code, self.signal = "exited", code, signal
        self.finished = time.time()
        if self._log is not None:
            self._log.close()
