from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.node.ledger import Entry, Ledger, parse


def test_what_is_recorded_is_owned_until_forgotten(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.record("netns", path="/run/netns/a")
    ledger.record("link", name="ne-a", mac="02:00:00:00:00:01")
    ledger.record_all("file", ({"path": f"/f{n}"} for n in range(2)))
    ledger.forget("netns", path="/run/netns/a")
    assert [str(entry) for entry in ledger.entries()] == [
        "link 02:00:00:00:00:01 ne-a",
        "file /f0",
        "file /f1",
    ]


def test_another_process_reads_the_same(tmp_path: Path) -> None:
    Ledger(tmp_path).record("process", pid=12, start_time=34)
    (entry,) = Ledger(tmp_path).entries()
    assert (entry.kind, entry["pid"], entry["start_time"]) == ("process", 12, 34)


def test_forgetting_needs_the_very_same(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.record("process", pid=12, start_time=34)
    ledger.forget("process", pid=12, start_time=35)
    assert len(ledger.entries()) == 1


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="knows no kind 'namespace'"):
        Ledger(tmp_path).record("namespace", path="/x")


def test_no_file_owns_nothing(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "none").entries() == []


def test_recording_nothing_writes_nothing(tmp_path: Path) -> None:
    Ledger(tmp_path / "none").record_all("file", ())
    assert not (tmp_path / "none").exists()


def test_a_torn_line_loses_only_itself() -> None:
    text = '+{"kind": "file", "path": "/a"}\n+{"kind": "fi\n+{"kind": "file", "path": "/b"}\n'
    assert [entry["path"] for entry in parse(text)] == ["/a", "/b"]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5))))
def test_parse_is_a_set_in_order(steps: list[tuple[bool, int]]) -> None:
    owned: dict[int, None] = {}
    lines = []
    for adds, number in steps:
        if adds:
            owned.setdefault(number)
        else:
            owned.pop(number, None)
        what = json.dumps({"kind": "dir", "path": str(number)})
        lines.append(f"{'+' if adds else '-'}{what}\n")
    expected = [Entry("dir", (("path", str(number)),)) for number in owned]
    assert parse("".join(lines)) == expected
