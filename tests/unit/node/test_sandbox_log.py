from __future__ import annotations

from pathlib import Path

from netemu.node.sandbox_log import SandboxLog, SandboxRecord


def record(uid: str) -> SandboxRecord:
    return SandboxRecord(
        uid=uid,
        namespace="default",
        name=f"pod-{uid}",
        ips=("10.244.0.2", "fd00::2"),
        link="veth12345678",
        index=16,
        path=f"/run/netns/{uid}",
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    log = SandboxLog(tmp_path / "node" / "sandboxes")
    log.add([record("a"), record("b")])
    log.remove(["a"])
    log.add([record("c")])
    assert log.read() == {"b": record("b"), "c": record("c")}


def test_a_torn_line_is_skipped(tmp_path: Path) -> None:
    log = SandboxLog(tmp_path / "sandboxes")
    log.add([record("a")])
    with (tmp_path / "sandboxes").open("a") as file:
        file.write('{"uid": "b", "namesp')
    assert list(log.read()) == ["a"]


def test_rewriting_forgets_history(tmp_path: Path) -> None:
    log = SandboxLog(tmp_path / "sandboxes")
    log.add([record("a"), record("b")])
    log.remove(["a"])
    log.rewrite(log.read().values())
    assert len((tmp_path / "sandboxes").read_text().splitlines()) == 1
    assert list(log.read()) == ["b"]


def test_nothing_there(tmp_path: Path) -> None:
    assert SandboxLog(tmp_path / "none").read() == {}
