"""A node's IPVS tables through one persistent generic netlink socket. Blocking: helper threads.

https://github.com/torvalds/linux/blob/master/include/uapi/linux/ip_vs.h
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace

from netemu.errors import CapabilityError, DataplaneError
from netemu.netstate import ipvswire as wire
from netemu.netstate.conntrack import attributes
from netemu.netstate.ipvs import Real, Server, Servers, Virtual
from netemu.node import netns
from netemu.node.netlink import NetlinkSocket, message

_NETLINK_GENERIC = 16
_CONTROL, _GETFAMILY = 16, 3
_CREATE_EXCL = 0x600

_HEADS = [struct.pack("=BBH", command, 1, 0) for command in range(wire.GET_DEST + 1)]
"""The generic netlink header of each command."""

Request = tuple[int, Virtual, Server | None, Real | None]
"""(command, virtual server, how it balances, real server)."""


class IpvsSocket:
    def __init__(self, path: str) -> None:
        self._node = os.path.basename(path)
        raw = netns.socket_in(path, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        self._netlink = NetlinkSocket(self._node, raw)
        self._family = self._find_family(raw)

    def close(self) -> None:
        self._netlink.close()

    def _find_family(self, raw: socket.socket) -> int:
        name = b"IPVS\0"
        attribute = struct.pack("=HH", 4 + len(name), 2) + name + b"\0" * (-len(name) % 4)
        raw.send(message(_CONTROL, 0, struct.pack("=BBH", _GETFAMILY, 1, 0) + attribute))
        data = raw.recv(1 << 16)
        (kind,) = struct.unpack_from("=H", data, 4)
        if kind == 2:
            raise CapabilityError(
                f"{self._node}: the kernel has no IPVS",
                hint="modprobe ip_vs ip_vs_rr, or choose proxy mode nftables",
            )
        found = dict(attributes(data[20:]))
        number: int = struct.unpack_from("=H", found[1])[0]
        return number

    def encode(self, request: Request) -> bytes:
        """The message for `request`; it fits this machine's running kernel only.

        What no bytes can say (port 70000) is refused like what the kernel refuses.
        """
        command, virtual, server, real = request
        try:
            body = _HEADS[command] + wire.encode_virtual(virtual, server)
            if real is not None:
                body += wire.encode_real(real, whole=command != wire.DEL_DEST)
        except (ValueError, OverflowError, KeyError) as error:
            raise DataplaneError(self._node, f"encode {virtual.text}", stderr=str(error)) from error
        return message(self._family, 0, body)

    def apply_requests(self, requests: Iterable[Request], *, ignore: tuple[int, ...] = ()) -> None:
        """Send all; the first refusal is raised, those in `ignore` (errno) are fine."""
        self.send([self.encode(request) for request in requests], ignore=ignore)

    def send(self, messages: Sequence[bytes], *, ignore: tuple[int, ...] = ()) -> None:
        """`apply_requests` for messages that are encoded already."""
        self._netlink.request(messages, ignore=ignore)

    def observe_connections(self, virtual: Virtual) -> dict[Real, wire.Connections]:
        """The real servers of `virtual` with how many connections each has."""
        body = _HEADS[wire.GET_DEST] + wire.encode_virtual(virtual)
        return dict(
            wire.parse_real(payload[4:], virtual)
            for _, payload in self._netlink.dump(self._family, body)
        )

    def observe_virtuals(self, family: int) -> Servers:
        """Every virtual server of one IP family, without its real servers: one question for all."""
        body = _HEADS[wire.GET_SERVICE]
        found = (
            wire.parse_virtual(payload[4:]) for _, payload in self._netlink.dump(self._family, body)
        )
        return {v: server for v, server in found if (":" in v.address) == (family == 6)}

    def observe_servers(self, family: int) -> Servers:
        """Every virtual server of one IP family; its real servers take a question each."""
        return {
            virtual: replace(server, reals=frozenset(self.observe_connections(virtual)))
            for virtual, server in self.observe_virtuals(family).items()
        }


GONE = (errno.ENOENT, errno.ESRCH)
"""Refusals of a removal that mean it is not there any more."""
