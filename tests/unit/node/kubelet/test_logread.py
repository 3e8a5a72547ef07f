"""kubectl's log options over files in CRI format."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netemu.aio import SystemClock
from netemu.client.kubelet import LogOptions
from netemu.node.kubelet.logread import stream

LOG = b"""\
2026-11-20T07:00:00.000000001Z stdout F one
2026-11-20T07:00:01.500000000Z stderr F two
2026-11-20T07:00:02.000000000Z stdout P thr
2026-11-20T07:00:02.000000000Z stdout F ee
2026-11-20T07:00:03.000000000Z stdout F four
"""


async def read(path: Path, options: LogOptions) -> str:
    chunks = [chunk async for chunk in stream(path, options, lambda: False, SystemClock())]
    return b"".join(chunks).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "0.log").write_bytes(LOG)
    return tmp_path / "0.log"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LogOptions(), "one\ntwo\nthree\nfour\n"),
        (LogOptions(tail_lines=2), "three\nfour\n"),
        (LogOptions(tail_lines=0), ""),
        (LogOptions(tail_lines=99), "one\ntwo\nthree\nfour\n"),
        (LogOptions(limit_bytes=5), "one\nt"),
        (LogOptions(since_time=1795158001.0), "two\nthree\nfour\n"),
        (
            LogOptions(timestamps=True, tail_lines=2),
            "2026-11-20T07:00:02.000000000Z three\n2026-11-20T07:00:03.000000000Z four\n",
        ),
        (LogOptions(follow=True, tail_lines=1), "four\n"),
    ],
)
async def test_options(path: Path, options: LogOptions, expected: str) -> None:
    assert await read(path, options) == expected


async def test_the_rotated_file_comes_first(path: Path) -> None:
    older = b"2026-11-20T06:00:00.000000000Z stdout F zero\n"
    path.with_name("0.log.1").write_bytes(older)
    assert (await read(path, LogOptions())).startswith("zero\none\n")


async def test_a_container_that_wrote_nothing_has_an_empty_log(tmp_path: Path) -> None:
    assert await read(tmp_path / "none.log", LogOptions(follow=True)) == ""


async def test_follow_goes_on_until_the_container_has_ended(path: Path) -> None:
    running = ["yes"]
    got = []
    alive = running.__len__
    async for chunk in stream(path, LogOptions(follow=True), lambda: alive() > 0, SystemClock()):
        got.append(chunk.decode())
        if len(got) == 1:
            with path.open("ab") as file:
                file.write(b"2026-11-20T07:00:04.000000000Z stdout F five\n")
        else:
            running.clear()
    assert got == ["one\ntwo\nthree\nfour\n", "five\n"]


async def follow(path: Path, changes: list) -> str:
    """What a follower reads when each chunk lets the next change happen, then the end."""
    got, running = [], list(changes)
    async for chunk in stream(path, LogOptions(follow=True), lambda: bool(running), SystemClock()):
        got.append(chunk.decode())
        if running:
            running.pop(0)()
    return "".join(got)


async def test_the_last_words_of_a_log_that_is_removed(path: Path) -> None:
    def write_and_remove() -> None:
        with path.open("ab") as file:
            file.write(b"2026-11-20T07:00:04.000000000Z stdout F bye\n")
        path.unlink()

    assert (await follow(path, [write_and_remove])).endswith("four\nbye\n")


async def test_nothing_is_lost_in_a_rotation(path: Path) -> None:
    def rotate() -> None:
        with path.open("ab") as file:
            file.write(b"2026-11-20T07:00:04.000000000Z stdout F last\n")
        path.rename(path.with_name("0.log.1"))
        path.write_bytes(b"2026-11-20T07:00:05.000000000Z stdout F first\n")

    assert (await follow(path, [rotate, lambda: None])).endswith("four\nlast\nfirst\n")


def rotate(path: Path) -> None:
    """What the supervisor does with a log that is long enough, and the next line."""
    path.rename(path.with_name("0.log.1"))
    path.write_bytes(b"2026-11-20T07:00:05.000000000Z stdout F next\n")


async def test_what_was_written_just_before_a_rotation_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The follower was at the file's end, and then finds another one in its place."""
    at_the_end, samestat = [], os.path.samestat

    def look(mine: os.stat_result, there: os.stat_result) -> bool:
        if at_the_end:
            at_the_end.clear()
            with path.open("ab") as file:
                file.write(b"2026-11-20T07:00:04.000000000Z stdout F last\n")
            rotate(path)
            there = path.stat()
        return samestat(mine, there)

    monkeypatch.setattr(os.path, "samestat", look)
    changes = [lambda: at_the_end.append(True), lambda: None]
    assert (await follow(path, changes)).endswith("four\nlast\nnext\n")


async def test_a_rotation_while_a_log_is_opened_takes_no_line_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = path.with_name("0.log.1")
    older.write_bytes(b"2026-11-20T06:00:00.000000000Z stdout F zero\n")
    plain, opened = Path.open, []

    def open_and_rotate(self: Path, mode: str = "r") -> object:
        file = plain(self, mode)
        if self == older and not opened:
            opened.append(self)
            rotate(path)
        return file

    monkeypatch.setattr(Path, "open", open_and_rotate)
    assert (await read(path, LogOptions())).endswith("one\ntwo\nthree\nfour\nnext\n")
