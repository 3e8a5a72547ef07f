"""Volumes made of keys: what is in them, and how they are written so that readers never see half.

The kubelet's AtomicWriter: files live in a directory of their own, `..data` points to it, and the
names that users see point through `..data`; an update switches that one link.
https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netemu.api.kind import Object
from netemu.errors import NetemuError


class VolumeError(NetemuError):
    """A volume that cannot be mounted (yet); the pod waits and tries again."""

    def __init__(self, volume: str, why: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {why}')


class SubPathError(NetemuError):
    """What a mount wants of a volume is not in it: the container cannot be configured."""


@dataclass(frozen=True, slots=True)
class VolumeFile:
    data: bytes
    mode: int


def choose_keys(
    volume: str,
    data: Mapping[str, bytes],
    items: Sequence[Object] | None,
    default_mode: int,
    *,
    optional: bool = False,
) -> dict[str, VolumeFile]:
    """Path → file: all keys, or those that `items` name, where `items` put them."""
    if not items:
        return {key: VolumeFile(value, default_mode) for key, value in data.items()}
    chosen = {}
    for item in items:
        path = checked_path(volume, item["path"])
        if item["key"] in data:
            mode = item.get("mode")
            found = data[item["key"]]
            chosen[path] = VolumeFile(found, default_mode if mode is None else mode)
        elif not optional:
            raise VolumeError(volume, f"references non-existent config key: {item['key']}")
    return chosen


def checked_path(volume: str, path: str) -> str:
    """A relative path that stays inside the volume."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise VolumeError(volume, f"path {path!r} must be relative and must not contain '..'")
    return "/".join(part for part in parts if part and part != ".")


def write_atomically(directory: Path, files: Mapping[str, VolumeFile], group: int | None) -> bool:
    """Make `directory` hold exactly `files`; whether anything changed."""
    current = directory / "..data"
    if current.exists() and _holds(current, files):
        return False
    directory.mkdir(parents=True, exist_ok=True)
    name = time.strftime("..%Y_%m_%d_%H_%M_%S.") + str(time.monotonic_ns())
    fresh = directory / name
    for path, file in files.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        target.chmod(file.mode | (0o040 if group else 0))
        if group:
            os.chown(target, -1, group)
    fresh.mkdir(exist_ok=True)
    before = os.readlink(current) if current.is_symlink() else ""
    link = directory / "..data_tmp"
    link.symlink_to(name)
    link.rename(current)
    _link_names(directory, files)
    if before:
        shutil.rmtree(directory / before, ignore_errors=True)
    return True


def _holds(current: Path, files: Mapping[str, VolumeFile]) -> bool:
    there = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    return there == set(files) and all(
        (current / path).read_bytes() == file.data for path, file in files.items()
    )


def _link_names(directory: Path, files: Mapping[str, VolumeFile]) -> None:
    wanted = {path.partition("/")[0] for path in files}
    for name in os.listdir(directory):
        if not name.startswith("..") and name not in wanted:
            (directory / name).unlink()
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
