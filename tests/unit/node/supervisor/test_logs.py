from __future__ import annotations

import re
from pathlib import Path

import pytest

from netemu.node.supervisor import logs
from netemu.node.supervisor.logs import LogFile

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


def entries(path: Path) -> list[tuple[str, str, str]]:
    found = []
    for line in path.read_text().splitlines():
        stamp, stream, tag, text = line.split(" ", 3)
        assert STAMP.fullmatch(stamp)
        found.append((stream, tag, text))
    return found


def test_lines_of_both_streams_are_kept_apart(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "pod" / "0.log"))
    log.feed("stdout", b"a\nhalf")
    log.feed("stderr", b"oops\n")
    log.feed("stdout", b" done\nrest")
    log.close()
    assert entries(tmp_path / "pod" / "0.log") == [
        ("stdout", "F", "a"),
        ("stderr", "F", "oops"),
        ("stdout", "F", "half done"),
        ("stdout", "P", "rest"),
    ]


def test_long_lines_come_in_parts(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "0.log"))
    log.feed("stdout", b"x" * (logs.MAX_LINE + 10))
    log.feed("stdout", b"y\n")
    log.close()
    assert [(tag, len(text)) for _, tag, text in entries(tmp_path / "0.log")] == [
        ("P", logs.MAX_LINE),
        ("F", 11),
    ]


def test_a_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 1000)
    log = LogFile(str(tmp_path / "0.log"))
    for number in range(200):
        log.feed("stdout", f"line {number}\n".encode())
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) <= {"0.log", "0.log.1"} and sum(sizes.values()) < 2200


def test_a_log_that_cannot_be_written_does_not_stop_the_container(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = LogFile(str(tmp_path / "file" / "0.log"))
    log.feed("stdout", b"a\n")
    assert log.failed


def test_stamps_have_nanoseconds() -> None:
    assert logs.stamp(1_750_000_000_000_000_001) == "2025-06-15T15:06:40.000000001Z"
