"""Limits by control groups, version 1 or 2, as far as this machine lets us.

https://docs.kernel.org/admin-guide/cgroup-v2.html
https://docs.kernel.org/admin-guide/cgroup-v1/index.html
"""

from __future__ import annotations

import contextlib
import os

from netemu.node.supervisor.wire import Message

ROOT = "/sys/fs/cgroup"
_CONTROLLERS = ("pids", "memory", "cpu")


class Cgroups:
    """The groups of one node's containers, below `name` in each hierarchy."""

    def __init__(self, name: str, root: str = ROOT) -> None:
        self._name = name
        self._root = root
        self.version = 0
        self.controllers: tuple[str, ...] = ()
        """Those of pids, memory and cpu that work here; what is missing is not enforced."""
        self._detect()

    def _detect(self) -> None:
        try:
            if os.path.exists(f"{self._root}/cgroup.controllers"):
                self._detect_v2()
            else:
                self._detect_v1()
        except OSError:
            self.version, self.controllers = 0, ()

    def _detect_v2(self) -> None:
        with open(f"{self._root}/cgroup.controllers") as listing:
            offered = listing.read().split()
        os.makedirs(f"{self._root}/{self._name}", exist_ok=True)
        usable = (name for name in _CONTROLLERS if name in offered and self._enable(name))
        self.version, self.controllers = 2, tuple(usable)

    def _enable(self, controller: str) -> bool:
        """Hand a controller down to our groups; inside somebody's container that is refused."""
        try:
            for directory in (self._root, f"{self._root}/{self._name}"):
                _write(f"{directory}/cgroup.subtree_control", f"+{controller}")
        except OSError:
            return False
        return True

    def _detect_v1(self) -> None:
        usable = []
        for name in _CONTROLLERS:
            directory = f"{self._root}/{name}"
            if os.path.exists(f"{directory}/cgroup.procs") and os.access(directory, os.W_OK):
                os.makedirs(f"{directory}/{self._name}", exist_ok=True)
                usable.append(name)
        if usable:
            self.version, self.controllers = 1, tuple(usable)

    def create(self, group: str, limits: Message) -> list[str]:
        """Directories of a new group with these limits: pids, memory (bytes), cpu (milli)."""
        wanted = [name for name in self.controllers if limits.get(name)]
        if not wanted:
            return []
        if self.version == 2:
            directory = f"{self._root}/{self._name}/{group}"
            os.makedirs(directory, exist_ok=True)
            for name in wanted:
                self._limit_v2(directory, name, limits[name])
            return [directory]
        directories = []
        for name in wanted:
            directory = f"{self._root}/{name}/{self._name}/{group}"
            os.makedirs(directory, exist_ok=True)
            _limit_v1(directory, name, limits[name])
            directories.append(directory)
        return directories

    def _limit_v2(self, directory: str, name: str, value: int) -> None:
        if name == "pids":
            _write(f"{directory}/pids.max", str(value))
        elif name == "memory":
            _write(f"{directory}/memory.max", str(value))
            _try_write(f"{directory}/memory.swap.max", "0")
        else:
            _write(f"{directory}/cpu.max", f"{max(1000, value * 100)} 100000")

    def remove(self, directories: list[str]) -> None:
        for directory in directories:
            with contextlib.suppress(
                OSError
            ):  # a process still ends in it; `remove_all` comes again
                os.rmdir(directory)

    def remove_all(self) -> None:
        """Take the whole tree away, at the end."""
        tops = [f"{self._root}/{self._name}"]
        tops += [f"{self._root}/{name}/{self._name}" for name in _CONTROLLERS]
        for top in tops:
            remove_tree(top)


def out_of_memory(directories: list[str]) -> bool:
    """Whether the kernel killed something in this group for its memory limit."""
    for directory in directories:
        for name in ("memory.events", "memory.oom_control"):
            try:
                with open(f"{directory}/{name}") as events:
                    pairs = dict(line.split() for line in events)
            except (OSError, ValueError):
                continue
            if int(pairs.get("oom_kill", 0)) > 0:
                return True
    return False


def remove_tree(top: str) -> None:
    """Remove a group and those below it; only directories can be removed in there."""
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            continue


def _limit_v1(directory: str, name: str, value: int) -> None:
    if name == "pids":
        _write(f"{directory}/pids.max", str(value))
    elif name == "memory":
        _write(f"{directory}/memory.limit_in_bytes", str(value))
        _try_write(f"{directory}/memory.memsw.limit_in_bytes", str(value))
    else:
        _write(f"{directory}/cpu.cfs_period_us", "100000")
        _write(f"{directory}/cpu.cfs_quota_us", str(max(1000, value * 100)))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _try_write(path: str, text: str) -> None:
    with contextlib.suppress(OSError):  # no swap accounting on this kernel
        _write(path, text)
