"""Container logs in CRI format: `2026-11-20T07:42:43.123456789Z stdout F line`.

F ends a line, P is a part of one that continues. A log is bounded: when the file is full it
becomes `N.log.1`, and the older one before it goes.

https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

from __future__ import annotations

import os
import time

MAX_LINE = 16 * 1024
MAX_BYTES = 4 * 1024 * 1024


class LogFile:
    """One container's log. The file is made with the first line."""

    __slots__ = ("path", "_descriptor", "_size", "_partial", "failed")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._size = 0
        self._partial = {"stdout": b"", "stderr": b""}
        self.failed = False
        """The disk was full: lines were lost."""

    def feed(self, stream: str, data: bytes) -> None:
        """Add what a container wrote to `stream`; whole lines are written at once."""
        lines = (self._partial[stream] + data).split(b"\n")
        rest = lines.pop()
        head = f"{stamp(time.time_ns())} {stream} ".encode()
        entries = []
        for line in lines:
            while len(line) > MAX_LINE:
                entries.append(head + b"P " + line[:MAX_LINE] + b"\n")
                line = line[MAX_LINE:]
            entries.append(head + b"F " + line + b"\n")
        while len(rest) >= MAX_LINE:
            entries.append(head + b"P " + rest[:MAX_LINE] + b"\n")
            rest = rest[MAX_LINE:]
        self._partial[stream] = rest
        if entries:
            self._write(b"".join(entries))

    def close(self) -> None:
        """Write what has no newline yet, and close the file."""
        for stream, rest in self._partial.items():
            if rest:
                head = f"{stamp(time.time_ns())} {stream} P ".encode()
                self._write(head + rest + b"\n")
                self._partial[stream] = b""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        try:
            if self._descriptor < 0:
                self._open()
            os.write(self._descriptor, data)
        except OSError:
            self.failed = True  # a full disk must not stop the container
            return
        self._size += len(data)
        if self._size > MAX_BYTES:
            self._rotate()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            self._descriptor = os.open(self.path, flags, 0o640)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._descriptor = os.open(self.path, flags, 0o640)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        os.replace(self.path, self.path + ".1")


def stamp(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds, UTC."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"
