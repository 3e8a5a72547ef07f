"""Running a command through a node's supervisor with this process's own descriptors.

The supervisor's protocol is `netemu.node.supervisor.wire`; here it is spoken without an event loop.
With a terminal, the supervisor makes one inside the container and hands its master side over; this
end copies keys and output and passes on changes of the window's size.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
import termios
import tty as ttymode
from collections.abc import Iterator, Sequence
from typing import Any

from netemu.cli.failures import CommandFailed, RootNeeded
from netemu.node.supervisor import wire

EXEC = 1
"""Number of our only command on this connection."""
_CHUNK = 1 << 16


def run_in_container(
    path: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
) -> int:
    """Its exit code; 126 and 127 when it could not start, with the reason on standard error."""
    with _connected(path) as link:
        message: dict[str, Any] = {
            "op": "exec",
            "seq": 1,
            "id": container,
            "exec": EXEC,
            "tty": tty,
            "spec": {"argv": list(command)},
        }
        if tty:
            if not sys.stdin.isatty():
                print(
                    "Unable to use a TTY - input is not a terminal or the right kind of file",
                    file=sys.stderr,
                )
            message["spec"]["env"] = {"TERM": os.environ.get("TERM", "xterm")}
            link.send(message)
            return link.finish(stdin=stdin)
        null = os.open(os.devnull, os.O_RDWR)
        link.send(message, (0 if stdin else null, 1, 2))
        os.close(null)
        return link.finish(stdin=False)


@contextlib.contextmanager
def _connected(path: str) -> Iterator[_Link]:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except PermissionError:
        raise RootNeeded("running a command in a pod") from None
    except OSError as error:
        raise CommandFailed(
            f"the node's supervisor does not answer on {path}: {error.strerror}",
            hint="netemu status",
        ) from error
    with sock:
        yield _Link(sock)


class _Link:
    """One exchange with a supervisor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = wire.Reader(sock)
        self._code: int | None = None
        self._terminal = -1

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        if fds:
            message = {**message, "fds": len(fds)}
        data = wire.encode(message)
        sent = wire.send(self._sock, data, tuple(fds))
        self._sock.sendall(data[sent:])

    def finish(self, *, stdin: bool) -> int:
        """Until the command has ended; its code."""
        with contextlib.ExitStack() as stack:
            while self._code is None:
                self._receive()
                if self._terminal >= 0 and self._code is None:
                    stack.enter_context(raw_terminal())
                    stack.enter_context(following_size(self._terminal))
                    self._copy(stdin)
            self._drain()
        return self._code

    def _receive(self) -> None:
        for message, fds in self._reader.read():
            self._handle(message, fds)
        if self._reader.closed and self._code is None:
            raise CommandFailed("the node's supervisor ended", hint="netemu status")

    def _handle(self, message: dict[str, Any], fds: list[int]) -> None:
        if "error" in message:
            raise CommandFailed(message["error"])
        if message.get("event") == "exec-exited":
            self._code = int(message["code"])
        elif message.get("event") == "exec-failed":
            print(f"error: {message['message']}", file=sys.stderr)
            self._code = int(message["code"])
        elif fds:
            self._terminal = fds[0]

    def _copy(self, stdin: bool) -> None:
        """Between this terminal and the command's, until the command has ended."""
        watched = [self._sock.fileno(), self._terminal] + ([0] if stdin else [])
        while self._code is None:
            ready, _, _ = select.select(watched, (), ())
            if 0 in ready:
                data = os.read(0, _CHUNK)
                if data:
                    os.write(self._terminal, data)
                else:
                    watched.remove(0)
            if self._terminal in ready and not self._forward():
                watched.remove(self._terminal)
            if self._sock.fileno() in ready:
                self._receive()

    def _forward(self) -> bool:
        """Whether the command's terminal is still open."""
        try:
            data = os.read(self._terminal, _CHUNK)
        except OSError:  # EIO: the last process that had it has gone
            return False
        os.write(1, data)
        return bool(data)

    def _drain(self) -> None:
        """What the command wrote last."""
        while self._terminal >= 0 and select.select([self._terminal], (), (), 0)[0]:
            if not self._forward():
                return


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Every key goes to the command, also Ctrl-C."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    try:
        ttymode.setraw(0, termios.TCSADRAIN)  # what was typed ahead is for the command
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def following_size(terminal: int) -> Iterator[None]:
    """The command's terminal has the size of ours, also when that changes."""
    if not os.isatty(1):
        yield
        return

    def copy_size(*_: object) -> None:
        size = fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)

    copy_size()
    before = signal.signal(signal.SIGWINCH, copy_size)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
