"""A persistent nfnetlink socket in a node's namespace: one send is one transaction.

The kernel has worked a batch through before send() returns, and answers only with errors, so one
read that does not wait tells how it went. Nothing is ever closed on the way, so no change waits for
the kernel's deferred frees. netlink(7), nfnetlink
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from netemu.errors import DataplaneError
from netemu.node import netns

_NETLINK_NETFILTER = 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_BUFFER = 64 << 20
_REQUEST, _DUMP = 1, 0x300
_NEWTABLE, _GETTABLE, _NEWRULE, _GETRULE = (10 << 8 | number for number in (0, 1, 6, 7))


class NfSocket:
    """Blocking: for helper threads, or for batches so small that the loop may wait."""

    def __init__(self, path: str) -> None:
        self._node = os.path.basename(path)
        self._socket = netns.socket_in(path, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 20)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    def apply_batch(self, batch: bytes, what: str = "nftables transaction") -> None:
        """Send one transaction; DataplaneError, with nothing changed, when the kernel refuses."""
        self._drain()
        try:
            self._socket.send(batch)
        except OSError as error:
            raise DataplaneError(self._node, what, errno=error.errno or 0) from error
        failed = self._drain()
        if failed:
            raise DataplaneError(self._node, what, errno=failed)

    def has_table(self, family: int, name: str) -> bool:
        """Whether the table stands; `family` is 4 or 6."""
        return self._first_answer(_GETTABLE, _REQUEST, family, name) == _NEWTABLE

    def has_rules(self, family: int, table: str, chain: str) -> bool:
        """Whether any rule stands in the chain."""
        return self._first_answer(_GETRULE, _REQUEST | _DUMP, family, table, chain) == _NEWRULE

    def _first_answer(self, command: int, flags: int, family: int, *names: str) -> int:
        """What kind of message comes back first; `names` are the attributes from the first on."""
        body = struct.pack("=BBH", 10 if family == 6 else 2, 0, 0)
        for number, name in enumerate(names, 1):
            payload = name.encode() + b"\0"
            body += struct.pack("=HH", 4 + len(payload), number) + payload
            body += b"\0" * (-len(payload) % 4)
        self._drain()
        self._socket.send(struct.pack("=IHHII", 16 + len(body), command, flags, 1, 0) + body)
        (kind,) = struct.unpack_from("=H", self._socket.recv(1 << 16), 4)
        return int(kind)

    def _drain(self) -> int:
        """The first error among the answers that wait, as an errno; 0 for none."""
        first = 0
        while True:
            try:
                data = self._socket.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return first
            except OSError as error:
                first = first or error.errno or errno.EIO
                continue
            kind, code = struct.unpack_from("=H", data, 4)[0], 0
            if kind == 2:
                (code,) = struct.unpack_from("=i", data, 16)
            first = first or -code
