"""Who has written more than it may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netemu.node.kubelet.eviction import overfull, size_of


def pod(limit: str | None, medium: str = "") -> dict[str, object]:
    source = {"medium": medium} | ({} if limit is None else {"sizeLimit": limit})
    return {"spec": {"volumes": [{"name": "v", "emptyDir": source}]}}


@pytest.mark.parametrize(
    ("limit", "over"), [("64Ki", True), ("128Ki", False), (None, False), ("0", False)]
)
@pytest.mark.parametrize("medium", ["", "Memory"])
def test_a_volume_may_hold_as_much_as_its_limit(
    tmp_path: Path, limit: str | None, over: bool, medium: str
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(os.urandom(100_000))
    os.link(tmp_path / "sub" / "file", tmp_path / "again")  # counts once
    (tmp_path / "out").symlink_to("/usr")
    told = overfull(pod(limit, medium), {"v": tmp_path})
    expected = f'Usage of EmptyDir volume "v" exceeds the limit "{limit}". '
    assert told == (expected if over else "")


def test_what_is_gone_has_no_size(tmp_path: Path) -> None:
    assert size_of(str(tmp_path / "nowhere")) == 0
