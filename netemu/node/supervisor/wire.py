"""Messages between a daemon and the processes it leaves running: JSON with a length, and files.

A message is four bytes of length and a JSON object. Its key `fds` says how many file descriptors
came along (SCM_RIGHTS, unix(7)); the kernel keeps them in the order of the messages.
"""

from __future__ import annotations

import array
import json
import socket
import struct

MAX_FDS = 200
"""The kernel takes at most 253 in one message (SCM_MAX_FD)."""
_LENGTH = struct.Struct("!I")
_READ = 1 << 18

TYPE_CHECKING = False  # `typing` costs 5 ms to import
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]
    """A JSON object."""
else:
    Message = dict


def encode(message: Message) -> bytes:
    return frame(json.dumps(message, separators=(",", ":")).encode())


def frame(body: bytes) -> bytes:
    """A message whose JSON is ready."""
    return _LENGTH.pack(len(body)) + body


def send(sock: socket.socket, data: bytes, fds: list[int] | tuple[int, ...] = ()) -> int:
    """Send what fits now; the descriptors go with the first byte. Returns the bytes sent."""
    if fds:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
        return sock.sendmsg([data], [rights])
    return sock.send(data)


class Reader:
    """Takes bytes and descriptors from a socket and gives whole messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._fds: list[int] = []
        self.closed = False

    def read(self) -> list[tuple[Message, list[int]]]:
        """One receive; every message that it completed. Sets `closed` at the end of the stream."""
        space = socket.CMSG_SPACE(MAX_FDS * 4)
        data, ancillary, _, _ = self._sock.recvmsg(_READ, space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(payload[: len(payload) - len(payload) % 4])
                self._fds.extend(descriptors)
        if not data:
            self.closed = True
            return []
        self._buffer += data
        return self._whole()

    def _whole(self) -> list[tuple[Message, list[int]]]:
        messages = []
        while len(self._buffer) >= 4:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if len(self._buffer) < 4 + size:
                break
            message = json.loads(bytes(self._buffer[4 : 4 + size]))
            del self._buffer[: 4 + size]
            count = message.get("fds", 0)
            messages.append((message, self._fds[:count]))
            del self._fds[:count]
        return messages
