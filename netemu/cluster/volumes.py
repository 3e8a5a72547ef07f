"""Remove the directory of a volume that was deleted; nothing outside the cluster's own ones."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)


class VolumeDirectories:
    """Where persistent volumes are kept: one directory a volume, right below the root."""

    def __init__(self, root: Path) -> None:
        """`root`: where the provisioner puts volumes."""
        self._root = root

    async def reclaim(self, path: str) -> None:
        """Delete `path` and all below it; refused unless it is a directory right below the root.

        The path comes from an object that a user may have written.
        """
        directory = Path(path)
        if directory.parent != self._root or directory.name in ("", ".", ".."):
            log.warning("volume not reclaimed: not ours", extra={"kv": {"path": path}})
            return
        if directory.is_symlink() or not directory.exists():
            return
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
