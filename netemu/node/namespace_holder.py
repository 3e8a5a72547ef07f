"""The daemon's side of `holder.py`: start it, hand it namespaces, find it again after a restart.

The daemon keeps a descriptor of each namespace too. So either of the two may be killed: a new
daemon asks the holder, and a new holder gets everything from the daemon.
SCM_RIGHTS in unix(7), namespaces(7)
"""

from __future__ import annotations

import array
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from netemu.errors import DataplaneError
from netemu.node import holder
from netemu.node.ledger import Ledger
from netemu.node.processes import Process

_DESCRIPTORS = 1 << 17


class NamespaceHolder:
    """Keeps namespaces alive across the daemon's life. Blocking calls, for helper threads."""

    def __init__(self, run_dir: Path, ledger: Ledger) -> None:
        self._socket_path = run_dir / "netns.sock"
        self._pid_path = run_dir / "netns.pid"
        self._ledger = ledger
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._held: dict[str, int] = {}
        self.process = Process(0, 0)
        self.generation = 0
        """Counts holders; a new one means that the links to the old one's descriptors are stale."""

    @property
    def count(self) -> int:
        """How many namespaces are held."""
        return len(self._held)

    def open(self) -> list[str]:
        """Connect to the holder, or start one; the uids that it held before."""
        with self._lock:
            if self._connection is not None:
                return list(self._held)
            raise_limit()
            if not self._connect():
                self._start()
                return []
            return self._adopt()

    def close(self) -> None:
        """Disconnect; the holder goes on."""
        with self._lock:
            self._disconnect()
            for fd in self._held.values():
                os.close(fd)
            self._held.clear()

    def path(self, number: int) -> str:
        """Where everybody finds the namespace that the holder has as descriptor `number`."""
        return f"/proc/{self.process.pid}/fd/{number}"

    def hold(self, namespaces: Mapping[str, int]) -> dict[str, int]:
        """Keep namespaces (uid -> descriptor, which is taken over); uid -> the holder's number."""
        with self._lock:
            for uid, fd in namespaces.items():
                self._forget(uid)
                self._held[uid] = fd
            try:
                return self._send(namespaces)
            except OSError:
                self._restart()
                return self._send(namespaces)

    def drop(self, uids: list[str]) -> None:
        """Let go of namespaces; each ends with its last user."""
        with self._lock:
            for uid in uids:
                self._forget(uid)
            for start in range(0, len(uids), holder.FDS):
                page = uids[start : start + holder.FDS]
                try:
                    self._ask("D " + "\n".join(page), [])
                except OSError:
                    self._restart()
                    return

    def ensure(self) -> bool:
        """Whether the holder lives; if not, a new one now has everything, with new numbers."""
        with self._lock:
            if self.process.alive:
                return True
            self._restart()
            return False

    def numbers(self) -> dict[str, int]:
        """uid -> descriptor number, as the holder has it now."""
        with self._lock:
            return self._list()

    def _forget(self, uid: str) -> None:
        fd = self._held.pop(uid, None)
        if fd is not None:
            os.close(fd)

    def _send(self, namespaces: Mapping[str, int]) -> dict[str, int]:
        uids = list(namespaces)
        numbers: dict[str, int] = {}
        for start in range(0, len(uids), holder.FDS):
            page = uids[start : start + holder.FDS]
            answer = self._ask("H " + "\n".join(page), [namespaces[uid] for uid in page])
            numbers.update(zip(page, map(int, answer.split()), strict=True))
        return numbers

    def _ask(self, request: str, fds: list[int]) -> str:
        if self._connection is None:
            raise ConnectionError("no holder")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._connection.sendmsg([request.encode()], rights)
        answer = self._connection.recv(1 << 17)
        if not answer and not request.startswith("L"):
            raise ConnectionError("the holder is gone")
        return answer.decode()

    def _list(self) -> dict[str, int]:
        numbers: dict[str, int] = {}
        while True:
            page = self._ask(f"L {len(numbers)}", []).split("\n")
            found = [line.split(" ") for line in page if line]
            numbers.update((uid, int(number)) for uid, number in found)
            if len(found) < holder.PAGE:
                return numbers

    def _connect(self) -> bool:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(str(self._socket_path))
            pid, start = map(int, self._pid_path.read_text().split())
        except (OSError, ValueError):
            connection.close()
            return False
        self._connection, self.process = connection, Process(pid, start)
        return True

    def _adopt(self) -> list[str]:
        numbers = self._list()
        for uid, number in numbers.items():
            self._held[uid] = os.open(self.path(number), os.O_RDONLY | os.O_CLOEXEC)
        return list(numbers)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _restart(self) -> None:
        """The holder died: a new one takes over all that this process still holds."""
        self._disconnect()
        self._start()
        self._send(self._held)

    def _start(self) -> None:
        self._socket_path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._ledger.record("file", path=str(self._socket_path))
        self._ledger.record("file", path=str(self._pid_path))
        with suppress(FileNotFoundError):
            self._socket_path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe()
        try:
            listener.bind(str(self._socket_path))
            listener.listen(8)
            process = self._spawn(listener.fileno(), read)
            self._ledger.record("process", pid=process.pid, start_time=process.start_time)
            self._pid_path.write_text(f"{process.pid} {process.start_time}")
            os.write(write, b"1")
        finally:
            listener.close()
            os.close(read)
            os.close(write)
        self.generation += 1
        if not self._connect():
            raise DataplaneError("netns holder", "start", stderr="it does not answer")

    def _spawn(self, listener: int, recorded: int) -> Process:
        argv = [sys.executable, "-S", "-I", holder.__file__, str(listener), str(recorded)]
        child = subprocess.Popen(
            argv,
            pass_fds=(listener, recorded),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        child.returncode = 0  # it outlives us on purpose: no ResourceWarning, no wait
        return Process.of(child.pid)


def raise_limit() -> None:
    """One descriptor a pod: allow as many as the machine does. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _DESCRIPTORS:
        return
    try:
        wanted = hard if hard == resource.RLIM_INFINITY else max(hard, _DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, wanted))
    except (ValueError, OSError):  # not root: as many as we may
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
