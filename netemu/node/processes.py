"""Processes known by pid and start time, and ended through pidfds: never by name.

A pid alone may belong to someone else by now. proc(5), pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_LAST = 5.0
"""Seconds in which a killed process must be gone."""


@dataclass(frozen=True, slots=True)
class Process:
    """`start_time` in clock ticks since boot."""

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, start_time(pid))

    @property
    def alive(self) -> bool:
        return self.start_time != 0 and start_time(self.pid) == self.start_time


def start_time(pid: int) -> int:
    """When `pid` started; 0 when there is no such process, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def end(processes: Iterable[Process], *, grace: float) -> list[Process]:
    """Ask all to end, kill those that have not after `grace` seconds; who is left. Blocks."""
    with _opened(processes) as open_fds:
        _signal(open_fds, signal.SIGTERM)
        waiting = _wait(open_fds, grace)
        _signal(waiting, signal.SIGKILL)
        return list(_wait(waiting, _LAST).values())


def kill(processes: Iterable[Process]) -> list[Process]:
    """End them without asking; who is left after five seconds."""
    with _opened(processes) as open_fds:
        _signal(open_fds, signal.SIGKILL)
        return list(_wait(open_fds, _LAST).values())


def inside(namespaces: set[int]) -> Iterator[Process]:
    """Processes whose network namespace is one of these inode numbers; never this process."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if os.stat(f"/proc/{entry.name}/ns/net").st_ino in namespaces:
                process = Process.of(int(entry.name))
                if process.alive:
                    yield process


@contextmanager
def _opened(processes: Iterable[Process]) -> Iterator[dict[int, Process]]:
    """pidfd -> process, of those that are alive."""
    with ExitStack() as stack:
        open_fds = {}
        for process in processes:
            fd = _open(process)
            if fd is not None:
                open_fds[fd] = process
                stack.callback(os.close, fd)
        yield open_fds


def _open(process: Process) -> int | None:
    """A pidfd of the very process, or None when it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return None
    if process.alive:
        return fd
    os.close(fd)
    return None


def _signal(open_fds: dict[int, Process], number: signal.Signals) -> None:
    for fd in open_fds:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)


def _wait(open_fds: dict[int, Process], seconds: float) -> dict[int, Process]:
    """Those that have not ended within `seconds`."""
    poll, waiting = select.poll(), dict(open_fds)
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while waiting:
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        for fd, _ in ended:
            poll.unregister(fd)
            del waiting[fd]
        if not ended:
            break
    return waiting
