"""The few system calls that Python 3.11 has no name for: setns, unshare, mount.

ctypes releases the GIL around each call, so helper threads overlap in the kernel.
setns(2), unshare(2), mount(2), mount_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def setns(fd: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread into the namespace that `fd` refers to."""
    if _libc.setns(fd, kind):
        _checked(-1, f"setns({fd})")


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own."""
    if _libc.unshare(flags):
        _checked(-1, "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0) -> None:
    """mount(2) without data."""
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, None)
    _checked(result, f"mount {target}")


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _checked(_libc.umount2(target.encode(), flags), f"umount {target}")
