"""/run/netns, prepared as `ip netns add` does it, and given back when nobody needs it any more.

`ip` turns the directory into a shared mount at its first use, by mounting it on itself. Were our
namespaces mounted there before that, they would exist twice, and unmounting the visible one would
not free them. So the directory is prepared the same way first. `.netns` in netemu's run directory
remembers what of it was our doing; the last cluster to leave an empty directory undoes that.
ip-netns(8), mount_namespaces(7).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netemu.errors import CapabilityError
from netemu.node import syscalls
from netemu.node.netns import NAMES


@contextmanager
def machine_lock(root: Path) -> Iterator[None]:
    """One cluster at a time claims or returns what all share. The lock leaves no file behind."""
    while True:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _same(descriptor, root):
                continue  # the last cluster removed it while we waited
            yield
            return
        finally:
            os.close(descriptor)


def _same(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


def prepare(root: Path) -> None:
    """Make /run/netns ready for names. Under `machine_lock`."""
    marker = root / ".netns"
    made = _made(marker)
    wanted = dict(made)
    if not NAMES.is_dir():
        wanted["dir"] = True
    if not _is_mount(NAMES):
        wanted["mount"] = True
    if wanted != made:
        _write(marker, json.dumps(wanted))
    NAMES.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _share(str(NAMES))
    except OSError as error:
        raise CapabilityError(
            f"{NAMES} cannot become a shared mount: {error.strerror}",
            hint="run netemu as root, outside a container that forbids mounts",
        ) from error


def _made(marker: Path) -> dict[str, bool]:
    """What of the directory was our doing."""
    with suppress(FileNotFoundError, ValueError):
        found: dict[str, bool] = json.loads(marker.read_text())
        return found
    return {"dir": False, "mount": False}


def _write(marker: Path, text: str) -> None:
    """Whole or not at all, also on a full disk."""
    new = marker.with_name(marker.name + ".new")
    try:
        new.write_text(text)
        new.rename(marker)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _share(directory: str) -> None:
    try:
        syscalls.mount("", directory, "none", syscalls.MS_SHARED | syscalls.MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: not a mount yet
            raise
        syscalls.mount(directory, directory, "none", syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.mount("", directory, "none", syscalls.MS_SHARED | syscalls.MS_REC)


def give_back(root: Path, *, leaving: Path | None = None) -> None:
    """Undo `prepare` when the last cluster goes. Under `machine_lock`; removes an empty `root`.

    `leaving` is the run directory of that cluster, when it is still there. While names of others
    are there it all stays, and is theirs: `ip netns` would have made it, too.
    """
    marker = root / ".netns"
    others = (path for path in root.iterdir() if path.is_dir() and path != leaving)
    if marker.exists() and not any(others):
        made = _made(marker)
        if not NAMES.is_dir() or not any(NAMES.iterdir()):
            if made["mount"] and _is_mount(NAMES):
                syscalls.unmount(str(NAMES), syscalls.MNT_DETACH)
            if made["dir"]:
                with suppress(OSError):
                    NAMES.rmdir()
        marker.unlink()
    with suppress(OSError):
        root.rmdir()


def _is_mount(path: Path) -> bool:
    """Also true for a directory mounted on itself, which `os.path.ismount` cannot see."""
    with open("/proc/self/mountinfo") as mounts:
        return any(line.split(" ", 5)[4] == str(path) for line in mounts)
