"""Reading container logs back: the options of `kubectl logs` over files in CRI format.

https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from netemu.aio import Clock
from netemu.api import meta
from netemu.client.kubelet import LogOptions

_CHUNK = 1 << 18
_POLL = 0.1

_SAME, _REPLACED, _REMOVED = "same", "replaced", "removed"


@dataclass(frozen=True, slots=True)
class Line:
    """One entry: its time as written, and its text, with the newline unless it is a part."""

    stamp: bytes
    text: bytes


def parse_line(raw: bytes) -> Line | None:
    """`2026-11-20T07:42:43.1Z stdout F text`; None for anything else."""
    parts = raw.split(b" ", 3)
    if len(parts) < 4:
        return None
    return Line(parts[0], parts[3] if parts[2] == b"P" else parts[3] + b"\n")


class Tail:
    """A log as it grows: keeps it open, so that what was written before its removal can be read,
    and goes on with the file that takes its place when it is rotated away.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._part = b""

    def read(self) -> list[bytes]:
        """Whole lines that came since the last time; some of them, when there are many."""
        *lines, self._part = (self._part + self._more()).split(b"\n")
        return lines

    def _more(self) -> bytes:
        if self._file is not None:
            # What came after the last read is read before a file is left for the next one.
            replaced = self._look() == _REPLACED
            if (data := self._file.read(_CHUNK)) or not replaced:
                return data
        self._open()
        return self._file.read(_CHUNK) if self._file is not None else b""

    def _open(self) -> None:
        self.close()
        self._file = _opened(self._path)

    def _look(self) -> str:
        """What is under the log's name: the file that is open here, another one, or nothing."""
        assert self._file is not None
        try:
            same = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return _REMOVED
        return _SAME if same else _REPLACED

    def rotated(self) -> Iterator[bytes]:
        """Lines of the file that was rotated away before the one to be read here."""
        while True:
            self._open()
            older = _opened(self._path.with_name(self._path.name + ".1"))
            if self._file is None or self._look() == _SAME:
                break
            if older is not None:  # there was a rotation between the two
                older.close()
        if older is not None:
            with older:
                for raw in older:
                    yield raw.rstrip(b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _so_far(tail: Tail) -> Iterator[Line]:
    """All that has been written, up to where `tail` will go on."""
    for line in map(parse_line, tail.rotated()):
        if line is not None:
            yield line
    while raws := tail.read():
        for line in map(parse_line, raws):
            if line is not None:
                yield line


def select(lines: Iterable[Line], options: LogOptions) -> list[Line]:
    """Apply sinceTime and tailLines."""
    chosen = list(lines)
    if options.since_time is not None:
        since = options.since_time
        chosen = [line for line in chosen if _seconds(line) >= since]
    if options.tail_lines is not None:
        chosen = _last(chosen, options.tail_lines)
    return chosen


def _last(lines: list[Line], count: int) -> list[Line]:
    """The last `count` whole lines; the parts of a long line belong together."""
    taken = 0
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].text.endswith(b"\n") or index == len(lines) - 1:
            taken += 1
        if taken > count:
            return lines[index + 1 :]
    return lines


def _seconds(line: Line) -> float:
    stamp = line.stamp.decode("ascii", "replace")
    head, _, fraction = stamp.rstrip("Z").partition(".")
    try:
        return meta.seconds_of(head + "Z") + float(f"0.{fraction or 0}")
    except ValueError:
        return 0.0


async def stream(
    path: Path, options: LogOptions, alive: Callable[[], bool], clock: Clock
) -> AsyncIterator[bytes]:
    """A container's log as bytes; with `follow`, until `alive()` is false and all is read."""
    tail = Tail(path)
    left = options.limit_bytes
    try:
        async for chunk in _all(tail, options, alive, clock):
            piece = chunk if left is None else chunk[:left]
            if piece:
                yield piece
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    return
    finally:
        tail.close()


async def _all(
    tail: Tail, options: LogOptions, alive: Callable[[], bool], clock: Clock
) -> AsyncIterator[bytes]:
    for chunk in _chunks(select(_so_far(tail), options), options.timestamps):
        yield chunk
    while options.follow:
        going_on = alive()  # before the read: what was written until then is read below
        lines = [line for line in map(parse_line, tail.read()) if line is not None]
        for chunk in _chunks(lines, options.timestamps):
            yield chunk
        if not lines and not going_on:
            return
        if not lines:
            await clock.sleep(_POLL)


def _chunks(lines: Iterable[Line], timestamps: bool) -> Iterator[bytes]:
    """Lines joined to pieces worth sending."""
    buffer: list[bytes] = []
    size = 0
    whole = True
    for line in lines:
        if timestamps and whole:
            buffer.append(line.stamp + b" ")
        buffer.append(line.text)
        whole = line.text.endswith(b"\n")
        size += len(line.text)
        if size >= _CHUNK:
            yield b"".join(buffer)
            buffer, size = [], 0
    if buffer:
        yield b"".join(buffer)
