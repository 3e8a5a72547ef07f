"""rtnetlink without a library: attributes, messages, and a socket that stays in its namespace.

A namespace's network is built by few, large sends over a persistent socket; encoding costs 20 µs a
pod where pyroute2's general marshalling costs 0.25 to 0.5 ms a message. Without NLM_F_ACK the
kernel answers only with errors, and it has worked through a request before send() returns, so one
read that does not wait replaces all acknowledgements.

rtnetlink(7), netlink(7), https://docs.kernel.org/userspace-api/netlink/intro.html
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from netemu.errors import DataplaneError

NLM_F_REQUEST, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 1, 0x300, 0x100, 0x200, 0x400
NLM_F_DUMP_INTR = 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30

_NAMES = {
    RTM_NEWLINK: "create link",
    RTM_DELLINK: "delete link",
    RTM_GETLINK: "list links",
    RTM_SETLINK: "change link",
    RTM_NEWADDR: "add address",
    RTM_DELADDR: "delete address",
    RTM_GETADDR: "list addresses",
    RTM_NEWROUTE: "add route",
    RTM_DELROUTE: "delete route",
    RTM_GETROUTE: "list routes",
    RTM_NEWNEIGH: "add neighbour",
    RTM_DELNEIGH: "delete neighbour",
    RTM_GETNEIGH: "list neighbours",
}

_HEADER = struct.Struct("=IHHII")
_SOL_NETLINK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 270, 11, 12
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_CHUNK = 32 * 1024
_RECEIVE = 256 * 1024


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind, b"".join(attributes))


def u8(kind: int, value: int) -> bytes:
    return struct.pack("=HHB3x", 5, kind, value)


def u32(kind: int, value: int) -> bytes:
    return struct.pack("=HHI", 8, kind, value)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def mac(kind: int, value: str) -> bytes:
    return attribute(kind, bytes.fromhex(value.replace(":", "")))


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address: str) -> bytes:
    return socket.inet_pton(family_of(address), address)


def message(kind: int, flags: int, body: bytes) -> bytes:
    """A whole request; its sequence number is set when it is sent."""
    return _HEADER.pack(len(body) + 16, kind, flags | NLM_F_REQUEST, 0, 0) + body


def attributes_of(data: bytes, offset: int) -> dict[int, bytes]:
    """Attributes of `data` from `offset` on; flag bits of the kinds are dropped."""
    found = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


class Refusal(NamedTuple):
    """One request that the kernel refused."""

    message: int
    """Its place among the messages of the call."""
    operation: str
    errno: int
    explanation: str


class NetlinkSocket:
    """A persistent rtnetlink socket in one namespace; `where` names it in errors.

    One thread at a time; the callers own that.
    """

    def __init__(self, where: str, sock: socket.socket | None = None, *, what: str = "") -> None:
        """`what` names all requests in errors: for another protocol than rtnetlink."""
        self.where, self._what = where, what
        self._socket = sock or socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def try_all(self, messages: Sequence[bytes]) -> list[Refusal]:
        """Send every message; what the kernel refused. Later messages do not depend on earlier."""
        refused: list[Refusal] = []
        for first, chunk in _chunks(messages):
            self._socket.send(chunk)
            refused += self._refusals(first)
        return refused

    def takes(self, blobs: Iterable[bytes]) -> bool:
        """Send messages that are joined already, a blob in one piece; whether the kernel took all.

        For very many that are known to be fine: which one was refused, nobody can tell.
        """
        for chunk in _joined(blobs):
            self._socket.send(chunk)
            if self._refusals(0):
                return False
        return True

    def request(self, messages: Sequence[bytes], *, ignore: Collection[int] = ()) -> None:
        """Send every message; raise the first refusal whose errno is not in `ignore`."""
        for refusal in self.try_all(messages):
            if refusal.errno not in ignore:
                raise self.error(refusal)

    def error(self, refusal: Refusal) -> DataplaneError:
        """The error to raise for a refusal."""
        return DataplaneError(
            self.where,
            refusal.operation,
            errno=refusal.errno,
            stderr=f"{os.strerror(refusal.errno)}{refusal.explanation}",
        )

    def get(self, kind: int, body: bytes) -> bytes:
        """The payload of the one object that the kernel shows for `kind`."""
        self._socket.send(message(kind, 0, body))
        for reply, flags, _, payload in _split(self._socket.recv(_RECEIVE)):
            if reply == NLMSG_ERROR:
                raise self.error(self._refusal(0, flags, payload))
            return payload
        raise DataplaneError(self.where, self._name(kind, "get"), stderr="an empty answer")

    def dump(self, kind: int, body: bytes) -> list[tuple[int, bytes]]:
        """All (type, payload) that the kernel lists for `kind`; repeated while it changes."""
        for _ in range(10):
            entries, whole = self._dump_once(kind, body)
            if whole:
                return entries
        return entries

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        self._socket.send(message(kind, NLM_F_DUMP, body))
        entries: list[tuple[int, bytes]] = []
        whole = True
        while True:
            for reply, flags, _, payload in _split(self._socket.recv(_RECEIVE)):
                whole = whole and not flags & NLM_F_DUMP_INTR
                if reply in (NLMSG_DONE, NLMSG_ERROR):
                    number = -struct.unpack_from("=i", payload)[0]
                    if number:
                        raise DataplaneError(self.where, self._name(kind, "list"), errno=number)
                    return entries, whole
                entries.append((reply, payload))

    def _refusals(self, first: int) -> list[Refusal]:
        refused: list[Refusal] = []
        while True:
            try:
                data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return refused
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                refused.append(Refusal(first, "read errors", errno.ENOBUFS, ""))
                continue
            for reply, flags, _, payload in _split(data):
                if reply == NLMSG_ERROR:
                    refused.append(self._refusal(first, flags, payload))

    def _refusal(self, first: int, flags: int, payload: bytes) -> Refusal:
        """The refused request and the kernel's own words (NLMSGERR_ATTR_MSG), when it has some."""
        number = -struct.unpack_from("=i", payload)[0]
        length, kind, _, sequence, _ = _HEADER.unpack_from(payload, 4)
        explanation = ""
        if flags & _NLM_F_ACK_TLVS:
            offset = 20 if flags & _NLM_F_CAPPED else 4 + ((length + 3) & ~3)
            said = attributes_of(payload, offset).get(1, b"").rstrip(b"\0").decode(errors="replace")
            explanation = f" ({said})" if said else ""
        operation = self._name(kind, f"request {kind}")
        return Refusal(first + sequence, operation, number, explanation)

    def _name(self, kind: int, otherwise: str) -> str:
        return self._what or _NAMES.get(kind, otherwise)


def _chunks(messages: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """(index of the first message, bytes of one send); sequence numbers count within a send."""
    start, size = 0, 0
    for index, data in enumerate(messages):
        if size and size + len(data) > _CHUNK:
            yield start, _numbered(messages[start:index])
            start, size = index, 0
        size += len(data)
    if size:
        yield start, _numbered(messages[start:])


def _joined(blobs: Iterable[bytes]) -> Iterator[bytes]:
    """As few sends as sizes allow."""
    parts: list[bytes] = []
    size = 0
    for blob in blobs:
        if size and size + len(blob) > _CHUNK:
            yield b"".join(parts)
            parts, size = [], 0
        parts.append(blob)
        size += len(blob)
    if parts:
        yield b"".join(parts)


def _numbered(messages: Sequence[bytes]) -> bytes:
    whole = bytearray(b"".join(messages))
    offset = 0
    for index, data in enumerate(messages):
        struct.pack_into("=I", whole, offset + 8, index)
        offset += len(data)
    return bytes(whole)


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3
