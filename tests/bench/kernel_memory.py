"""How much kernel memory a piece of work leaves behind.

The kernel charges what nftables' rules and sets take to the memory cgroup of whoever made them, so
a cgroup of our own counts exactly that, whatever else the machine does. IPVS's tables are charged
to nobody; for them, and where there is no memory controller, the machine's allocators are read.
https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MIB = 2**20


def _memory_cgroup() -> Path | None:
    """This process's cgroup in the hierarchy that has the memory controller."""
    found = None
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _ROOT / "memory" / path.lstrip("/")
        if not controllers:
            found = _ROOT / path.lstrip("/")
    return found


def _held_by(cgroup: Path) -> float:
    old = cgroup / "memory.kmem.usage_in_bytes"
    if old.exists():
        return int(old.read_text()) / _MIB
    fields = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    return int(fields["kernel"]) / _MIB


def _held_by_machine() -> float:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(fields[name].split()[0]) for name in ("Slab", "VmallocUsed", "Percpu")) / 1024


@contextmanager
def counted(*, charged: bool = True) -> Iterator[Callable[[], float]]:
    """Within: what this process, and those it starts, make the kernel hold; MiB when called."""
    home = _memory_cgroup() if charged else None
    own = _enter(home) if home is not None else None
    if home is None or own is None:
        before = _held_by_machine()
        yield lambda: _held_by_machine() - before
        return
    start = _held_by(own)
    try:
        yield lambda: _held_by(own) - start
    finally:
        _leave(home, own)


def _enter(home: Path) -> Path | None:
    """A cgroup below `home` with this process in it; None where that cannot be counted."""
    own = home / f"netemu-bench-{os.getpid()}"
    try:
        own.mkdir()
    except OSError:
        return None
    try:
        (own / "cgroup.procs").write_text(str(os.getpid()))
        _held_by(own)
    except (OSError, KeyError):
        _leave(home, own)
        return None
    return own


def _leave(home: Path, own: Path) -> None:
    with suppress(OSError):
        (home / "cgroup.procs").write_text(str(os.getpid()))
        own.rmdir()
