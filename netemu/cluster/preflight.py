"""What must hold before a cluster is begun, so that it isn't left half-made."""

from __future__ import annotations

import os
from pathlib import Path

from netemu.config import ClusterConfig
from netemu.errors import CapabilityError

NEEDED = 16 << 20
"""Bytes: an empty store with its log, sockets, the daemon's log, and room to work."""


def check_space(config: ClusterConfig) -> None:
    """CapabilityError when the disk of the store or of the run directory is full."""
    for directory in (config.data_dir, config.run_dir):
        free = _free(directory)
        if free < NEEDED:
            raise CapabilityError(
                f"{directory}: {free / 1e6:.1f} MB free, a cluster needs {NEEDED / 1e6:.0f} MB",
                hint=f"df -h {_existing(directory)}",
            )


def _existing(directory: Path) -> Path:
    """`directory` or the nearest parent that is there."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def _free(directory: Path) -> int:
    found = os.statvfs(_existing(directory))
    return found.f_bavail * found.f_frsize
