"""The holder with ordinary files in place of namespaces: it does not care what it holds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netemu.node.ledger import Ledger
from netemu.node.namespace_holder import NamespaceHolder
from netemu.node.processes import Process, kill


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    listed = [entry for entry in Ledger(tmp_path).entries() if entry.kind == "process"]
    assert kill(Process(int(entry["pid"]), int(entry["start_time"])) for entry in listed) == []


@pytest.fixture
def holder(run_dir: Path) -> Iterator[NamespaceHolder]:
    holder = NamespaceHolder(run_dir, Ledger(run_dir))
    assert holder.open() == []
    yield holder
    holder.close()


def opened(directory: Path, *names: str) -> dict[str, int]:
    """uid -> descriptor of a file that contains the uid."""
    for name in names:
        (directory / name).write_text(name)
    return {name: os.open(directory / name, os.O_RDONLY) for name in names}


def read(holder: NamespaceHolder, uid: str) -> str:
    return Path(holder.path(holder.numbers()[uid])).read_text()


def test_held_things_are_found_by_path(holder: NamespaceHolder, tmp_path: Path) -> None:
    numbers = holder.hold(opened(tmp_path, "a", "b"))
    assert Path(holder.path(numbers["a"])).read_text() == "a"
    assert read(holder, "b") == "b"


def test_more_than_one_message_holds(holder: NamespaceHolder, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    many = {f"uid-{n}": os.open(tmp_path / "f", os.O_RDONLY) for n in range(600)}
    assert len(set(holder.hold(many).values())) == 600
    assert len(holder.numbers()) == 600
    assert holder.count == 600
    holder.drop(list(many)[:590])
    assert len(holder.numbers()) == 10


def test_listing_goes_by_pages(holder: NamespaceHolder, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    holder.hold({f"uid-{n}": os.open(tmp_path / "f", os.O_RDONLY) for n in range(2000)})
    assert len(holder.numbers()) == 2000


def test_dropped_things_are_closed(holder: NamespaceHolder, tmp_path: Path) -> None:
    numbers = holder.hold(opened(tmp_path, "a", "b"))
    holder.drop(["a", "unknown"])
    assert not os.path.lexists(holder.path(numbers["a"]))
    assert read(holder, "b") == "b"


def test_holding_again_replaces(holder: NamespaceHolder, tmp_path: Path) -> None:
    holder.hold(opened(tmp_path, "a"))
    (tmp_path / "new").write_text("new")
    holder.hold({"a": os.open(tmp_path / "new", os.O_RDONLY)})
    assert read(holder, "a") == "new"
    assert len(holder.numbers()) == 1


def test_a_new_daemon_finds_all(holder: NamespaceHolder, tmp_path: Path) -> None:
    holder.hold(opened(tmp_path, "a", "b"))
    holder.close()
    again = NamespaceHolder(tmp_path, Ledger(tmp_path))
    assert sorted(again.open()) == ["a", "b"]
    assert again.process == holder.process
    assert again.ensure()
    again.close()


def test_a_killed_holder_is_replaced(holder: NamespaceHolder, tmp_path: Path) -> None:
    holder.hold(opened(tmp_path, "a"))
    old, generation = holder.process, holder.generation
    die(old)
    assert not holder.ensure()
    assert holder.process != old
    assert holder.generation == generation + 1
    assert read(holder, "a") == "a"


@pytest.mark.parametrize("action", ["hold", "drop"])
def test_the_next_request_notices(holder: NamespaceHolder, tmp_path: Path, action: str) -> None:
    holder.hold(opened(tmp_path, "a", "b"))
    die(holder.process)
    if action == "hold":
        holder.hold(opened(tmp_path, "c"))
        assert read(holder, "c") == "c"
    else:
        holder.drop(["b"])
        assert "b" not in holder.numbers()
    assert read(holder, "a") == "a"


def test_the_ledger_knows_the_holder(holder: NamespaceHolder, tmp_path: Path) -> None:
    entries = [entry for entry in Ledger(tmp_path).entries() if entry.kind == "process"]
    assert [(e["pid"], e["start_time"]) for e in entries] == [
        (holder.process.pid, holder.process.start_time)
    ]


def test_an_unrecorded_holder_ends(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon died between starting the holder and writing it down."""
    started: list[Process] = []
    ledger = Ledger(run_dir)

    def die_first(kind: str, **what: object) -> None:
        if kind == "process":
            started.append(Process.of(int(str(what["pid"]))))
            raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "record", die_first)
    with pytest.raises(KeyboardInterrupt):
        NamespaceHolder(run_dir, ledger).open()
    gone(started[0])


def die(process: Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    gone(process)


def gone(process: Process) -> None:
    deadline = time.monotonic() + 60
    while process.alive:
        assert time.monotonic() < deadline
        time.sleep(0.002)
