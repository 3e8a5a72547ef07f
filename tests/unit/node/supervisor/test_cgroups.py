"""Control groups on a directory that looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from netemu.node.supervisor.cgroups import Cgroups, out_of_memory, remove_tree


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    for name in ("pids", "memory"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    return tmp_path


def test_version_1_is_found_by_its_controllers(v1: Path) -> None:
    groups = Cgroups("netemu-x", str(v1))
    assert (groups.version, groups.controllers) == (1, ("pids", "memory"))
    assert (v1 / "pids" / "netemu-x").is_dir()
    (v1 / "pids/netemu-x/c1").mkdir()
    (v1 / "pids/netemu-x/c1/pids.max").touch()
    assert groups.create("c1", {"pids": 7, "cpu": 500}) == [str(v1 / "pids/netemu-x/c1")]
    assert (v1 / "pids/netemu-x/c1/pids.max").read_text() == "7"


def test_version_2_uses_what_is_handed_down(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu pids\n")
    (tmp_path / "cgroup.subtree_control").touch()
    (tmp_path / "netemu-x").mkdir()
    (tmp_path / "netemu-x" / "cgroup.subtree_control").touch()
    groups = Cgroups("netemu-x", str(tmp_path))
    assert (groups.version, groups.controllers) == (2, ("pids", "cpu"))
    directory = tmp_path / "netemu-x" / "c1"
    directory.mkdir()
    for name in ("pids.max", "cpu.max"):
        (directory / name).touch()
    limits = {"pids": 7, "cpu": 250, "memory": 1}
    assert groups.create("c1", limits) == [str(directory)]
    assert (directory / "cpu.max").read_text() == "25000 100000"


def test_a_machine_without_groups_limits_nothing(tmp_path: Path) -> None:
    groups = Cgroups("netemu-x", str(tmp_path))
    assert (groups.version, groups.create("c1", {"pids": 7})) == (0, [])


@pytest.mark.parametrize(
    ("name", "text", "killed"),
    [
        ("memory.events", "oom 1\noom_kill 1\n", True),
        ("memory.events", "oom 1\noom_kill 0\n", False),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", True),
    ],
)
def test_an_end_for_lack_of_memory_is_seen(
    tmp_path: Path, name: str, text: str, killed: bool
) -> None:
    (tmp_path / name).write_text(text)
    assert out_of_memory([str(tmp_path)]) is killed


def test_trees_of_directories_are_removed(tmp_path: Path) -> None:
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    remove_tree(str(tmp_path / "top"))
    assert not (tmp_path / "top").exists()
