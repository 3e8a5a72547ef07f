"""Network namespaces: create, name, delete, and do something inside one.

A namespace belongs to a thread, and a thread that changed its own must never run the event loop.
So all that happens inside happens in helper threads that return home afterwards; a socket opened
there keeps the namespace it was born in, and a child process inherits its thread's.

Names are bind mounts below /run/netns, exactly as `ip netns add` makes them, so that `ip netns`
works on them. ip-netns(8), network_namespaces(7),
https://github.com/containernetworking/plugins/blob/main/pkg/ns/README.md
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from netemu.errors import CapabilityError, DataplaneError
from netemu.node import syscalls
from netemu.node.netlink import NetlinkSocket
from netemu.node.programs import install_hint

NAMES = Path("/run/netns")
_NS_GET_NSTYPE = 0xB703
"""ioctl_ns(2)."""
T = TypeVar("T")

_home = threading.local()
_threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="netns")


def path_of(name: str) -> str:
    """Where the namespace `name` is, or will be."""
    return str(NAMES / name)


def _home_fd() -> int:
    """The process's own namespace: that of its main thread, which never moves."""
    fd: int | None = getattr(_home, "fd", None)
    if fd is None:
        fd = _home.fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    return fd


def _inside(path: str, function: Callable[[], T]) -> T:
    home = _home_fd()
    _enter(path)
    try:
        return function()
    finally:
        syscalls.setns(home)


def _enter(path: str) -> None:
    operation = "open namespace"
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        operation = "enter namespace"
        try:
            syscalls.setns(target)
        finally:
            os.close(target)
    except OSError as error:
        raise DataplaneError(_short(path), operation, errno=error.errno or 0) from error


def _short(path: str) -> str:
    return path.rpartition("/")[2] if path.startswith(str(NAMES)) else path


def call_in(path: str, function: Callable[[], T]) -> T:
    """Run `function` inside the namespace, in a helper thread; blocks until it has returned."""
    return _threads.submit(_inside, path, function).result()


async def await_in(path: str, function: Callable[[], T]) -> T:
    """`call_in` for coroutines: the loop goes on meanwhile."""
    return await asyncio.wrap_future(_threads.submit(_inside, path, function))


def socket_in(path: str, family: int, kind: int, proto: int = 0) -> socket.socket:
    """A socket born in the namespace; it stays there (9 µs)."""
    return call_in(path, lambda: socket.socket(family, kind, proto))


def netlink_in(path: str) -> NetlinkSocket:
    """A persistent rtnetlink socket in the namespace."""
    return call_in(path, lambda: NetlinkSocket(_short(path)))


async def run(
    path: str,
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Standard output of a program run inside the namespace; DataplaneError when it fails."""
    work = _threads.submit(_run, path, argv, stdin, timeout, env)
    return await asyncio.wrap_future(work)


def run_blocking(
    path: str,
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """`run` for helper threads."""
    return _threads.submit(_run, path, argv, stdin, timeout, env).result()


def _run(
    path: str,
    argv: Sequence[str],
    stdin: bytes,
    timeout: float,
    env: Mapping[str, str] | None,
) -> bytes:
    where, command = _short(path), argv[0]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else {**os.environ, **env},
        )

    try:
        process = _inside(path, start)
    except (FileNotFoundError, PermissionError) as error:
        raise CapabilityError(
            f"{where}: {command} is not installed", hint=install_hint(command)
        ) from error
    with process:
        try:
            out, err = process.communicate(stdin or None, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise DataplaneError(where, command, stderr=f"no end after {timeout:g} s") from error
    if process.returncode:
        said = (err.strip() or out.strip()).decode(errors="replace")
        said = said or f"exit code {process.returncode}"
        raise DataplaneError(where, " ".join(argv), stderr=said)
    return out


def create(name: str) -> NetlinkSocket:
    """Make a namespace, name it, bring its `lo` up; a socket inside. Blocks; helper threads only.

    The caller has recorded the name in its ledger and prepared the directory (`names.prepare`).
    """
    path = path_of(name)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    except FileExistsError as error:
        raise DataplaneError(name, "create namespace", errno=errno.EEXIST) from error
    return _threads.submit(_create, name, path).result()


def _create(name: str, path: str) -> NetlinkSocket:
    home = _home_fd()
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        try:
            syscalls.mount("/proc/thread-self/ns/net", path, "none", syscalls.MS_BIND)
            return NetlinkSocket(name)
        finally:
            syscalls.setns(home)
    except OSError as error:
        os.unlink(path)
        raise DataplaneError(name, "create namespace", errno=error.errno or 0) from error


def is_namespace(path: str) -> bool:
    """Whether a namespace is mounted, or linked, at `path`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == syscalls.CLONE_NEWNET
    except OSError:
        return False
    finally:
        os.close(fd)


def delete(path: str) -> None:
    """Unname a namespace; it ends with its last user. Nothing there is fine."""
    if not os.path.islink(path):
        while True:  # `ip netns add` by another tool may have stacked mounts on it
            try:
                syscalls.unmount(path, syscalls.MNT_DETACH)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOENT):
                    break
                raise DataplaneError(
                    _short(path), "unmount namespace", errno=error.errno or 0
                ) from error
    Path(path).unlink(missing_ok=True)
