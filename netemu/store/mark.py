"""How far a store's file must reach: the last acknowledged revision, kept beside it.

SQLite takes a damaged tail of its log for one that was never written, and an empty file for a new
one, without a word. The mark tells such losses. Writing it at each commit, without waiting for the
disk, costs a microsecond, and survives the death of the process. After a power cut it may be ahead
of a file that was not synchronised at each commit. This setting allows that loss; it is told, too.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

_SLOT = struct.Struct("<QQ16sI")  # revision, closed in order, boot, checksum
_SIZE = 2 * 64  # two slots, written in turn: one is always whole


class Reached(NamedTuple):
    """What a mark says. `same_boot`: the machine has not been started anew since."""

    revision: int
    closed: bool
    same_boot: bool


class Mark:
    """`path` is the store's; the mark has the same name and `-mark`."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}-mark")
        self._boot = _boot_id()
        self._turn = 0

    def read(self) -> Reached | None:
        """What was last written; None when there is nothing, or nothing that can be believed."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        found = []
        for start in (0, 64):
            slot = data[start : start + _SLOT.size]
            if len(slot) == _SLOT.size and zlib.crc32(slot[:-4]) == _SLOT.unpack(slot)[3]:
                revision, closed, boot, _ = _SLOT.unpack(slot)
                found.append(Reached(revision, bool(closed), boot == self._boot))
        return max(found, default=None)

    def open(self, revision: int) -> None:
        """Begin to write, with what the store has now. OSError when there is no room."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._descriptor, 0, _SIZE)
        for _ in range(2):
            self.write(revision)

    def write(self, revision: int, *, closed: bool = False) -> None:
        body = _SLOT.pack(revision, closed, self._boot, 0)[:-4]
        start, self._turn = 64 * self._turn, 1 - self._turn
        try:
            os.pwrite(self._descriptor, body + struct.pack("<I", zlib.crc32(body)), start)
        except OSError as error:  # no mark is better than one that is behind
            log.warning("the store's mark is given up", extra={"kv": {"error": str(error)}})
            self.path.unlink(missing_ok=True)

    def close(self, revision: int) -> None:
        """The store is whole on the disk."""
        for _ in range(2):
            self.write(revision, closed=True)
        os.close(self._descriptor)


def _boot_id() -> bytes:
    return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", ""))
