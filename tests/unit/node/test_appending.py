from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from netemu.node.appending import append
from netemu.node.ledger import Ledger


def test_lines_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log"
    append(path, "one\n")
    append(path, "two\nthree\n")
    assert path.read_text() == "one\ntwo\nthree\n"


def test_a_full_disk_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "log", os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:4]))
    with pytest.raises(OSError, match=r"No space left on device: .*log") as caught:
        append(path, "first line\n")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        monkeypatch.undo()
        append(Path("/dev/full"), "x\n")


def test_a_torn_line_does_not_swallow_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, write = Ledger(tmp_path), os.write
    ledger.record("file", path="/a")
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[:9]))
        with pytest.raises(OSError, match="No space left"):
            ledger.record("file", path="/never-made")
    ledger.record("file", path="/b")
    assert [entry["path"] for entry in ledger.entries()] == ["/a", "/b"]
