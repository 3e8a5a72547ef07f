"""Lines appended to a file that must be readable after any end: `kill -9`, or a full disk.

One write a call (O_APPEND is atomic on a local file system). What a full disk tears is an error for
who wrote it, and its rest does not swallow the line that comes next, when there is space again.
O_APPEND in open(2)
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def append(path: Path, text: str) -> None:
    """Append `text`, whole lines; OSError names the file when not all of it went in."""
    data = text.encode()
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        try:
            written = os.write(descriptor, data)
        except OSError as error:
            error.filename = str(path)
            raise
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)
