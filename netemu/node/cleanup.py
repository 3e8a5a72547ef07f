"""Remove exactly what a cluster's ledger lists, from any state, and say what is left.

It works without the daemon, in the middle of a half-made cluster, and again when it was itself
interrupted. Order: processes, then links, mounts, names, files, so that nobody holds what goes.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from netemu.errors import DataplaneError
from netemu.node import netns, netns_directory, processes, syscalls
from netemu.node.ledger import Entry, Ledger
from netemu.node.link_messages import delete_link
from netemu.node.netlink import NetlinkSocket
from netemu.node.processes import Process
from netemu.node.supervisor import cgroups

GRACE = 2.0
"""Seconds that a process has to end by itself."""


@dataclass(slots=True)
class Report:
    """What a cleanup did. `left`: what it could not remove, one line each."""

    removed: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def count(self, kind: str, number: int = 1) -> None:
        if number:
            self.removed[kind] = self.removed.get(kind, 0) + number


def clean(run_dir: Path, *, data_dir: Path | None = None, grace: float = GRACE) -> Report:
    """Remove everything the ledger in `run_dir` lists, `data_dir`, and `run_dir` itself. Blocks.

    `run_dir` goes last: whoever finds it knows that there is something to remove, also when this
    was killed on its way. When something is left, the ledger stays, so that the next call tries
    again.
    """
    report = Report()
    entries = Ledger(run_dir).entries()
    if data_dir is not None:
        entries.insert(0, Entry("dir", (("path", str(data_dir)),)))
    by_kind = {kind: [e for e in entries if e.kind == kind] for kind in _REMOVERS}
    _end_processes(by_kind["process"], by_kind["netns"], report, grace)
    for kind, remove in _REMOVERS.items():
        for entry in reversed(by_kind[kind]):
            _try(entry, remove, report)
    if data_dir is not None and os.path.lexists(data_dir) and not report.left:
        report.left.append(f"dir {data_dir}: not a directory of ours")  # a link
    root = run_dir.parent
    with netns_directory.machine_lock(root):
        if not report.left:
            netns_directory.give_back(root, leaving=run_dir)
            shutil.rmtree(run_dir, ignore_errors=True)
            if run_dir.exists():
                report.left.append(f"dir {run_dir}")
        with suppress(OSError):  # another cluster's as well
            root.rmdir()
    return report


def plan(run_dir: Path) -> list[str]:
    """What `clean` would remove, for `--dry-run`."""
    return [str(entry) for entry in Ledger(run_dir).entries()]


def _try(entry: Entry, remove: Callable[[Entry], bool], report: Report) -> None:
    try:
        if remove(entry):
            report.count(entry.kind)
    except (OSError, DataplaneError) as error:
        report.left.append(f"{entry}: {error}")


def _end_processes(
    listed: Iterable[Entry], namespaces: Iterable[Entry], report: Report, grace: float
) -> None:
    """The recorded ones first; then whoever still runs inside the cluster's namespaces."""
    ours = [Process(int(e["pid"]), int(e["start_time"])) for e in listed]
    alive = [process for process in ours if process.alive]
    inodes = _inodes(namespaces, alive)
    left = processes.end(alive, grace=grace)
    report.count("process", len(alive) - len(left))
    for _ in range(10):  # a container being killed may just have started another
        strays = list(processes.inside(inodes)) if inodes else []
        if not strays:
            break
        still = processes.kill(strays)
        report.count("process", len(strays) - len(still))
    left += processes.inside(inodes) if inodes else []
    report.left += [f"process {process.pid}" for process in left]


def _inodes(namespaces: Iterable[Entry], recorded: Iterable[Process]) -> set[int]:
    """Inode numbers of the cluster's network namespaces: named ones, and those held by descriptor.

    Asked before anything is removed. Never contains this machine's own namespace, nor one that a
    recorded process merely runs in: a daemon has that open too.
    """
    inodes, running_in = set(), set()
    for process in recorded:
        with suppress(OSError):
            running_in.add(os.stat(f"/proc/{process.pid}/ns/net").st_ino)
            for descriptor in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    if os.readlink(descriptor.path).startswith("net:["):
                        inodes.add(os.stat(descriptor.path).st_ino)
    inodes -= running_in
    paths = [str(entry["path"]) for entry in namespaces]
    inodes |= {os.stat(path).st_ino for path in paths if netns.is_namespace(path)}
    for own in ("/proc/self/ns/net", "/proc/1/ns/net"):
        with suppress(OSError):
            inodes.discard(os.stat(own).st_ino)
    return inodes


def _remove_link(entry: Entry) -> bool:
    """Only when its MAC is still the one we gave it: the name may be someone else's by now."""
    name = str(entry["name"])
    try:
        mac = Path(f"/sys/class/net/{name}/address").read_text().strip()
        index = socket.if_nametoindex(name)
    except OSError:
        return False
    if mac != entry["mac"]:
        return False
    netlink = NetlinkSocket("this machine")
    try:
        netlink.request([delete_link(index)], ignore={errno.ENODEV})
    finally:
        netlink.close()
    return True


def _remove_mount(entry: Entry) -> bool:
    try:
        syscalls.unmount(str(entry["path"]), syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return False
        raise
    return True


def _remove_netns(entry: Entry) -> bool:
    path = str(entry["path"])
    there = os.path.lexists(path)
    netns.delete(path)
    return there


def _remove_file(entry: Entry) -> bool:
    try:
        os.unlink(str(entry["path"]))
    except FileNotFoundError:
        return False
    return True


def _remove_dir(entry: Entry) -> bool:
    path = Path(str(entry["path"]))
    if not path.is_dir() or path.is_symlink():
        return False
    if path.is_relative_to(cgroups.ROOT):
        cgroups.remove_tree(str(path))  # there, only directories can be removed
        if path.exists():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    else:
        shutil.rmtree(path)
    return True


_REMOVERS: dict[str, Callable[[Entry], bool]] = {
    "process": lambda entry: False,
    "link": _remove_link,
    "mount": _remove_mount,
    "netns": _remove_netns,
    "file": _remove_file,
    "dir": _remove_dir,
}
