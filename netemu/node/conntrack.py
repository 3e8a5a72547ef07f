"""Read and cut a node's conntrack entries through netlink.

The kernel chooses the entries: a client that resolves names leaves thousands behind, and while they
were read here, those with stale ones would wait. conntrack(8), netlink(7)
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence

from netemu.errors import DataplaneError
from netemu.netstate.conntrack import (
    IPCTNL_MSG_CT_DELETE,
    IPCTNL_MSG_CT_GET,
    Entry,
    Look,
    Served,
    parse_entry,
    stale,
)
from netemu.node import netns

_NETLINK_NETFILTER = 12
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_BATCH = 128
"""Delete requests in one system call."""
_FEW = 16
"""The kernel goes through its table once for each filter; for more, one listing is read here."""


class ConntrackTable:
    """The conntrack table of the namespace at `path`. Blocking: for helper threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = netns.socket_in(path, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.settimeout(10)

    def close(self) -> None:
        self._socket.close()

    def observe_entries(self, family: int = 4, look: Look | None = None) -> list[Entry]:
        """Every TCP, UDP and SCTP entry of one IP family, or what `look` asks for."""
        only = look.attributes() if look else b""
        self._socket.send(_message(IPCTNL_MSG_CT_GET, _REQUEST | _DUMP, family, only))
        found: list[Entry] = []
        while True:
            for kind, _, payload in self._receive():
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    self._fail("list conntrack", payload)
                entry = parse_entry(payload[4:])
                if entry is not None:
                    found.append(entry)

    def apply_delete(self, entries: Sequence[Entry]) -> int:
        """Cut `entries`; those that ended meanwhile are fine. How many were cut."""
        return sum(self._delete(entries[at : at + _BATCH]) for at in range(0, len(entries), _BATCH))

    def _delete(self, entries: Sequence[Entry]) -> int:
        """One system call; the kernel tells of failures, and of the last one in any case."""
        last, cut = len(entries), len(entries)
        self._socket.send(
            b"".join(
                _message(
                    IPCTNL_MSG_CT_DELETE,
                    _REQUEST | (_ACK if number == last else 0),
                    6 if ":" in entry.source else 4,
                    entry.tuple_attribute,
                    number,
                )
                for number, entry in enumerate(entries, 1)
            )
        )
        while True:
            for _, number, payload in self._receive():
                (code,) = struct.unpack_from("=i", payload)
                if code == -errno.ENOENT:
                    cut -= 1
                elif code:
                    self._fail("delete conntrack entry", payload)
                if number == last:
                    return cut

    def _receive(self) -> Iterator[tuple[int, int, memoryview]]:
        """Kind, sequence number and payload of the messages of one datagram."""
        data = memoryview(self._socket.recv(1 << 18))
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, _, number, _ = _HEADER.unpack_from(data, at)
            yield kind, number, data[at + _HEADER.size : at + length]
            at += (length + 3) & ~3

    def _fail(self, operation: str, payload: memoryview) -> None:
        (code,) = struct.unpack_from("=i", payload, 0)
        raise DataplaneError(os.path.basename(self._path), operation, errno=-code)

    def cut_stale(
        self,
        served: Served,
        where: Collection[Look],
        node_addresses: frozenset[str],
        family: int = 4,
    ) -> int:
        """Delete the UDP entries that `served` strands, as far as they are found `where`."""
        each: Iterable[Look | None] = where if len(where) <= _FEW else (None,)
        return sum(
            self.apply_delete(stale(self.observe_entries(family, look), served, node_addresses))
            for look in each
        )


def _message(kind: int, flags: int, family: int, body: bytes, number: int = 1) -> bytes:
    family = socket.AF_INET6 if family == 6 else socket.AF_INET
    payload = struct.pack("=BBH", family, 0, 0) + body
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, number, 0) + payload
