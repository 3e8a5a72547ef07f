"""Volumes of keys: which files, where, and that an update is seen whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from netemu.node.kubelet.volumefiles import (
    VolumeError,
    VolumeFile,
    choose_keys,
    write_atomically,
)

DATA = {"a": b"1", "b": b"2"}


def test_all_keys_or_the_chosen_ones() -> None:
    assert choose_keys("v", DATA, None, 0o644)["a"] == VolumeFile(b"1", 0o644)
    items = [{"key": "a", "path": "x/y", "mode": 0o400}]
    assert choose_keys("v", DATA, items, 0o644) == {"x/y": VolumeFile(b"1", 0o400)}


def test_a_missing_key_is_an_error_unless_optional() -> None:
    items = [{"key": "none", "path": "x"}]
    with pytest.raises(VolumeError, match='volume "v" : references non-existent config key: none'):
        choose_keys("v", DATA, items, 0o644)
    assert choose_keys("v", DATA, items, 0o644, optional=True) == {}


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "..data"])
def test_no_path_leaves_the_volume(path: str) -> None:
    with pytest.raises(VolumeError, match="must be relative"):
        choose_keys("v", DATA, [{"key": "a", "path": path}], 0o644)


def test_files_are_switched_in_one_step(tmp_path: Path) -> None:
    first = {"a": VolumeFile(b"1", 0o640), "d/b": VolumeFile(b"2", 0o644)}
    assert write_atomically(tmp_path, first, None)
    assert (tmp_path / "a").read_bytes() == b"1" and (tmp_path / "d/b").read_bytes() == b"2"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    before = (tmp_path / "..data").readlink()
    assert not write_atomically(tmp_path, first, None)
    assert (tmp_path / "..data").readlink() == before
    assert write_atomically(tmp_path, {"c": VolumeFile(b"3", 0o644)}, None)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith("..")}
    assert names == {"c"} and (tmp_path / "c").read_bytes() == b"3"
    assert len(list(tmp_path.iterdir())) == 3


def test_an_empty_volume_is_a_directory(tmp_path: Path) -> None:
    write_atomically(tmp_path / "v", {}, None)
    assert (tmp_path / "v" / "..data").is_dir()
