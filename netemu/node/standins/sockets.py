"""Listening sockets inside pods' network namespaces.

A socket keeps the namespace it was made in (network_namespaces(7)); this process has one thread,
which goes in, makes the pod's sockets, and comes back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import contextmanager

from netemu.node.supervisor import kernel
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG = 512
_SIOCGSKNS = 0x894C
"""ioctl(2) that opens the network namespace of a socket."""


def open_all(netns: int, ports: list[Message]) -> list[socket.socket]:
    """One non-blocking socket for each `{port, protocol}`, TCP ones listening.

    Raises OSError with the port in its text; then none stays open.
    """
    opened: list[socket.socket] = []
    with _inside(netns):
        try:
            for entry in ports:
                opened.append(_open(entry["port"], entry.get("protocol", "TCP")))
        except OSError:
            for sock in opened:
                sock.close()
            raise
    return opened


def open_beside(near: socket.socket, family: int, kind: int) -> socket.socket:
    """A non-blocking socket in the network namespace of another one."""
    netns = fcntl.ioctl(near, _SIOCGSKNS)
    try:
        with _inside(netns):
            sock = socket.socket(family, kind)
    finally:
        os.close(netns)
    sock.setblocking(False)
    return sock


@contextmanager
def _inside(netns: int) -> Iterator[None]:
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        kernel.setns(netns, kernel.NEWNET)
        try:
            yield
        finally:
            kernel.setns(own, kernel.NEWNET)
    finally:
        os.close(own)


def _open(port: int, protocol: str) -> socket.socket:
    kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
    try:
        sock = _wildcard(kind)
    except OSError as error:
        raise OSError(error.errno, f"socket for port {port}: {error.strerror}") from error
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::" if sock.family == socket.AF_INET6 else "0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        address = f"bind() to 0.0.0.0:{port} failed ({error.errno}: {error.strerror})"
        raise OSError(error.errno, address) from error
    sock.setblocking(False)
    return sock


def _wildcard(kind: int) -> socket.socket:
    """A socket for both families where the namespace has IPv6."""
    try:
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.ENOPROTOOPT):
            raise
        return socket.socket(socket.AF_INET, kind)
    return sock


def plain(address: str) -> str:
    """An address without the mapping that an IPv6 socket gives to IPv4 peers."""
    return address.removeprefix("::ffff:")
