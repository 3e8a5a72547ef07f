"""Listening sockets inside pods' network namespaces.

A socket keeps the namespace it was made in (network_namespaces(7)); this process has one thread,
which goes in, makes the pod's sockets, and comes back.
"""

from __future__ import annotations

import errno
import os
import socket

from netemu.node.supervisor import kernel
from netemu.node.supervisor.wire import Message

BACKLOG = 512


def open_all(netns: int, ports: list[Message]) -> list[socket.socket]:
    """One non-blocking socket for each `{port, protocol}`, TCP ones listening.

    Raises OSError with the port in its text; then none stays open.
    """
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    opened: list[socket.socket] = []
    kernel.setns(netns, kernel.NEWNET)
    try:
        for entry in ports:
            opened.append(_open(entry["port"], entry.get("protocol", "TCP")))
    except OSError:
        for sock in opened:
            sock.close()
        raise
    finally:
        kernel.setns(own, kernel.NEWNET)
        os.close(own)
    return opened


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
    return address[7:] if address.startswith("::ffff:") else address
