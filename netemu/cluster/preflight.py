"""What must hold before a cluster is begun, so that it isn't left half-made."""

from __future__ import annotations

import os
from pathlib import Path

from netemu.config import ClusterConfig
from netemu.errors import CapabilityError

NEEDED = 16 << 20
"""Bytes: an empty store with its log, sockets, the daemon's log, and room to work."""
FULL = 64 << 10
"""Bytes: with less than that, files cannot be written any more."""


def check_space(config: ClusterConfig) -> None:
    """CapabilityError when the disk of the store or of the run directory is full."""
    for directory in (config.data_dir, config.run_dir):
        free = _free(directory)
        if free < NEEDED:
            raise CapabilityError(
                f"{directory}: {free / 1e6:.1f} MB free, a cluster needs {NEEDED / 1e6:.0f} MB",
                hint=f"df -h {existing(directory)}",
            )


def full_directory(config: ClusterConfig) -> Path | None:
    """Which of the cluster's directories has no space left now: why something failed."""
    for directory in (config.data_dir, config.run_dir):
        if _free(directory) < FULL:
            return directory
    return None


def existing(directory: Path) -> Path:
    """`directory` or the nearest parent that is there."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def _free(directory: Path) -> int:
    found = os.statvfs(existing(directory))
    return found.f_bavail * found.f_frsize
