"""Reading container logs back: the options of `kubectl logs` over files in CRI format."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from netemu.aio import Clock
from netemu.api import meta
from netemu.client.kubelet import LogOptions

_CHUNK = 1 << 18
_POLL = 0.1


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


def read_files(path: Path) -> Iterator[bytes]:
    """Raw lines of a log: the file that was rotated away, then the present one."""
    for each in (path.with_name(path.name + ".1"), path):
        try:
            with each.open("rb") as file:
                for raw in file:
                    yield raw.rstrip(b"\n")
        except FileNotFoundError:
            continue


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
    position = path.stat().st_size if path.exists() else 0
    written = (parse_line(raw) for raw in read_files(path))
    left = options.limit_bytes
    start = select((line for line in written if line is not None), options)
    for chunk in _chunks(start, options.timestamps):
        piece = chunk if left is None else chunk[:left]
        if piece:
            yield piece
        if left is not None:
            left -= len(piece)
            if left <= 0:
                return
    if not options.follow:
        return
    async for chunk in _follow(path, position, options, alive, clock):
        piece = chunk if left is None else chunk[:left]
        yield piece
        if left is not None:
            left -= len(piece)
            if left <= 0:
                return


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


async def _follow(
    path: Path, position: int, options: LogOptions, alive: Callable[[], bool], clock: Clock
) -> AsyncIterator[bytes]:
    rest = b""
    while True:
        going_on = alive()  # before the read: what was written until then is read below
        data, position = _read_from(path, position)
        if data:
            *raws, rest = (rest + data).split(b"\n")
            lines = [line for line in map(parse_line, raws) if line is not None]
            for chunk in _chunks(lines, options.timestamps):
                yield chunk
        elif not going_on:
            return
        else:
            await clock.sleep(_POLL)


def _read_from(path: Path, position: int) -> tuple[bytes, int]:
    """What follows `position`; a file that was rotated away is read from its start."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < position:
                position = 0
            file.seek(position)
            data = file.read(_CHUNK)
    except FileNotFoundError:
        return b"", 0
    return data, position + len(data)
