"""What a test must leave as it found it: everything of this machine that netemu could touch."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

MARKER = "NETEMU_TEST_RUN"
"""In the environment of all that tests start, so that a process that got away is found."""
_VOLATILE = {"nf_conntrack_count", "random", "stat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    namespaces: frozenset[str]
    links: frozenset[str]
    addresses: frozenset[str]
    routes: frozenset[str]
    rules: frozenset[str]
    settings: frozenset[str]
    mounts: frozenset[str]
    files: frozenset[str]
    processes: frozenset[str]


def observe() -> HostState:
    return HostState(
        namespaces=_names("/run/netns"),
        links=frozenset(os.listdir("/sys/class/net")),
        addresses=_lines("ip", "-oneline", "address"),
        routes=_lines("ip", "route", "show", "table", "all")
        | _lines("ip", "-6", "route", "show", "table", "all"),
        rules=_lines("nft", "list", "ruleset") | _lines("ip", "rule"),
        settings=_settings(),
        mounts=frozenset(
            line.split(" ", 3)[2] + line.split(" ", 5)[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        files=_tree("/run/netemu") | _tree("/var/lib/netemu") | _tree("/run/netns"),
        processes=_processes(),
    )


def wait_until_as(before: HostState, *, seconds: float = 60.0) -> list[str]:
    """Differences from `before` that remain; the kernel frees namespaces in the background."""
    deadline = time.monotonic() + seconds
    while True:
        found = differences(before, observe())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def differences(before: HostState, after: HostState) -> list[str]:
    found = []
    for each in fields(HostState):
        old, new = getattr(before, each.name), getattr(after, each.name)
        found += [f"{each.name}: left behind: {item}" for item in sorted(new - old)]
        found += [f"{each.name}: missing: {item}" for item in sorted(old - new)]
    return found


@contextmanager
def names_given_back() -> Iterator[None]:
    """Around `ip netns add`, which makes /run/netns and mounts it on itself at its first use."""
    names = Path("/run/netns")
    there, mounted = names.is_dir(), _is_mount(names)
    yield
    if not mounted and _is_mount(names):
        subprocess.run(["umount", str(names)], check=True)
    if not there and names.is_dir():
        names.rmdir()


def _is_mount(path: Path) -> bool:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split(" ", 5)[4] == str(path) for line in mounts)


def _names(directory: str) -> frozenset[str]:
    return frozenset(os.listdir(directory)) if os.path.isdir(directory) else frozenset()


def _lines(*argv: str) -> frozenset[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return frozenset(f"{argv[0]}: {line.strip()}" for line in done.stdout.splitlines())


def _tree(root: str) -> frozenset[str]:
    found = set()
    for directory, _, files in os.walk(root):
        found.add(directory)
        found |= {os.path.join(directory, name) for name in files}
    return frozenset(found)


def _settings() -> frozenset[str]:
    found = set()
    for directory, _, files in os.walk("/proc/sys/net"):
        for name in files:
            if name in _VOLATILE or "/neigh" in directory:
                continue
            with suppress(OSError):
                path = os.path.join(directory, name)
                found.add(f"{path}={Path(path).read_text().strip()}")
    return frozenset(found)


def _processes() -> frozenset[str]:
    """Processes that tests started, apart from this one's own workers."""
    marker = f"{MARKER}={os.environ.get(MARKER, '?')}".encode()
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        with suppress(OSError):
            if marker in Path(f"/proc/{pid}/environ").read_bytes():
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                found.add(f"{pid} {command.decode(errors='replace').strip()}")
    return frozenset(found)
