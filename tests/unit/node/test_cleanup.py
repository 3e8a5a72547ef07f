"""What needs no rights: processes, files, directories, and what must not be touched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netemu.node import cleanup
from netemu.node.ledger import Ledger
from netemu.node.processes import start_time


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run" / "demo"


def test_exactly_what_is_listed(run_dir: Path, tmp_path: Path) -> None:
    ledger = Ledger(run_dir)
    for name in ("ours", "foreign"):
        (tmp_path / name).write_text(name)
        (tmp_path / f"{name}.d" / "deep").mkdir(parents=True)
    ledger.record("file", path=str(tmp_path / "ours"))
    ledger.record("dir", path=str(tmp_path / "ours.d"))
    ledger.record("file", path=str(tmp_path / "never-made"))
    report = cleanup.clean(run_dir)
    assert (report.removed, report.left) == ({"file": 1, "dir": 1}, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "foreign.d"]


def test_links_are_removed_not_what_they_point_to(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    ledger = Ledger(run_dir)
    ledger.record("dir", path=str(tmp_path / "link"))
    ledger.record("file", path=str(tmp_path / "link"))
    cleanup.clean(run_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_processes_end(run_dir: Path) -> None:
    with subprocess.Popen(["sleep", "100"]) as ours, subprocess.Popen(["sleep", "100"]) as other:
        ledger = Ledger(run_dir)
        ledger.record("process", pid=ours.pid, start_time=start_time(ours.pid))
        ledger.record("process", pid=other.pid, start_time=start_time(other.pid) - 7)
        assert cleanup.clean(run_dir).removed == {"process": 1}
        assert ours.wait() != 0
        assert other.poll() is None
        other.kill()


def test_no_process_of_this_machine_is_taken_for_an_inhabitant(run_dir: Path) -> None:
    """A recorded process that has our own namespace open does not make us a target."""
    with subprocess.Popen(["sleep", "100"]) as bystander:
        opened = open("/proc/self/ns/net")  # noqa: SIM115
        with subprocess.Popen(["sleep", "100"], pass_fds=[opened.fileno()]) as ours:
            opened.close()
            Ledger(run_dir).record("process", pid=ours.pid, start_time=start_time(ours.pid))
            assert cleanup.clean(run_dir).left == []
        assert bystander.poll() is None
        bystander.kill()


def test_twice_is_fine_and_nothing_is_fine(run_dir: Path) -> None:
    Ledger(run_dir).record("file", path="/nonexistent/x")
    assert cleanup.clean(run_dir).left == []
    assert not run_dir.parent.exists()
    report = cleanup.clean(run_dir)
    assert (report.removed, report.left) == ({}, [])


def test_killed_on_its_way_it_is_found_again(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run directory, by which a cluster is known, outlives all the rest."""
    data = tmp_path / "lib" / "demo"
    data.mkdir(parents=True)
    (data / "store.db").write_text("")
    Ledger(run_dir).record("file", path=str(tmp_path / "never-made"))
    (run_dir.parent / ".netns").write_text('{"dir": false, "mount": false}')
    real = shutil.rmtree

    def killed(path: Path, *args: object, **kwargs: object) -> None:
        if Path(path) == run_dir:
            raise KeyboardInterrupt
        real(path)

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        cleanup.clean(run_dir, data_dir=data)
    assert not data.exists()
    assert [path.name for path in run_dir.parent.iterdir()] == ["demo"]
    monkeypatch.undo()
    assert cleanup.clean(run_dir, data_dir=data).left == []
    assert not run_dir.parent.exists()


def test_data_behind_a_link_is_left_and_told(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    report = cleanup.clean(run_dir, data_dir=tmp_path / "data")
    assert report.left == [f"dir {tmp_path / 'data'}: not a directory of ours"]


def test_what_cannot_be_removed_is_told_and_stays_listed(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    Ledger(run_dir).record("file", path=str(tmp_path / "dir"))
    report = cleanup.clean(run_dir)
    assert len(report.left) == 1
    assert report.left[0].startswith(f"file {tmp_path / 'dir'}: ")
    assert len(Ledger(run_dir).entries()) == 1


def test_plan_says_what_would_go(run_dir: Path) -> None:
    Ledger(run_dir).record("netns", path="/run/netns/demo.node-1")
    assert cleanup.plan(run_dir) == ["netns /run/netns/demo.node-1"]


def test_a_link_with_another_mac_stays(run_dir: Path) -> None:
    Ledger(run_dir).record("link", name="lo", mac="02:00:00:00:00:01")
    report = cleanup.clean(run_dir)
    assert (report.removed, report.left) == ({}, [])
