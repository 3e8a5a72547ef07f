"""Read and cut a node's conntrack entries through netlink.

conntrack(8)
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable

from netemu.errors import DataplaneError
from netemu.netstate.conntrack import (
    IPCTNL_MSG_CT_DELETE,
    IPCTNL_MSG_CT_GET,
    Entry,
    Served,
    parse_entry,
    stale,
)
from netemu.node import netns

_NETLINK_NETFILTER = 12
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")


class ConntrackTable:
    """The conntrack table of the namespace at `path`. Blocking: for helper threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = netns.socket_in(path, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.settimeout(10)

    def close(self) -> None:
        self._socket.close()

    def _send(self, kind: int, flags: int, family: int, body: bytes = b"") -> None:
        message = struct.pack("=BBH", family, 0, 0) + body
        header = _HEADER.pack(_HEADER.size + len(message), kind, flags | _REQUEST, 1, 0)
        self._socket.send(header + message)

    def observe_entries(self, family: int = 4) -> list[Entry]:
        """Every TCP, UDP and SCTP entry of one IP family."""
        self._send(IPCTNL_MSG_CT_GET, _DUMP, socket.AF_INET6 if family == 6 else socket.AF_INET)
        found: list[Entry] = []
        while True:
            data = memoryview(self._socket.recv(1 << 18))
            at = 0
            while at + 16 <= len(data):
                length, kind, _, _, _ = _HEADER.unpack_from(data, at)
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    self._fail("list conntrack", data[at + 16 :])
                entry = parse_entry(data[at + 20 : at + length])
                if entry is not None:
                    found.append(entry)
                at += (length + 3) & ~3

    def apply_delete(self, entries: Iterable[Entry]) -> int:
        """Cut `entries`; those that ended meanwhile are fine. How many were cut."""
        cut = 0
        for entry in entries:
            family = socket.AF_INET6 if ":" in entry.source else socket.AF_INET
            self._send(IPCTNL_MSG_CT_DELETE, _ACK, family, entry.tuple_attribute)
            data = memoryview(self._socket.recv(1 << 16))
            (code,) = struct.unpack_from("=i", data, 16)
            if code == 0:
                cut += 1
            elif code != -2:  # ENOENT
                self._fail("delete conntrack entry", data[16:])
        return cut

    def _fail(self, operation: str, payload: memoryview) -> None:
        (code,) = struct.unpack_from("=i", payload, 0)
        raise DataplaneError(os.path.basename(self._path), operation, errno=-code)

    def cut_stale(self, served: Served, node_addresses: frozenset[str], family: int = 4) -> int:
        """Delete the UDP entries that `served` strands; how many."""
        return self.apply_delete(stale(self.observe_entries(family), served, node_addresses))
