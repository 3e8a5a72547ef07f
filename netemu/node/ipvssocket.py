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
from netemu.netstate.ipvs import Real, Servers, Virtual
from netemu.node import netns
from netemu.node.netlink import NetlinkSocket, message

_NETLINK_GENERIC = 16
_CONTROL, _GETFAMILY = 16, 3
_CREATE_EXCL = 0x600

_LIST_REALS, _LIST_VIRTUALS = (
    struct.pack("=BBH", command, 1, 0) for command in (wire.GET_DEST, wire.GET_SERVICE)
)
"""The generic netlink headers of the two questions."""


class IpvsSocket:
    def __init__(self, path: str) -> None:
        self._node = os.path.basename(path)
        raw = netns.socket_in(path, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        self._netlink = NetlinkSocket(self._node, raw, what="IPVS request")
        try:
            self.family = self._find_family(raw)
            """The number that this kernel has given to IPVS."""
        except CapabilityError:
            raw.close()
            raise

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

    def encode(self, request: wire.Request) -> bytes:
        """The message for `request`; it fits this machine's running kernel only.

        What no bytes can say (port 70000) is refused like what the kernel refuses.
        """
        try:
            return wire.encode_request(self.family, request)
        except (ValueError, OverflowError, KeyError) as error:
            what = f"encode {request[1].text}"
            raise DataplaneError(self._node, what, stderr=str(error)) from error

    def apply_requests(
        self, requests: Iterable[wire.Request], *, ignore: tuple[int, ...] = ()
    ) -> None:
        """Send all; the first refusal is raised, those in `ignore` (errno) are fine."""
        self.send([self.encode(request) for request in requests], ignore=ignore)

    def send(self, messages: Sequence[bytes], *, ignore: tuple[int, ...] = ()) -> None:
        """`apply_requests` for messages that are encoded already."""
        self._netlink.request(messages, ignore=ignore)

    def takes(self, blobs: Iterable[bytes]) -> bool:
        """Send messages, several in one; whether the kernel took all."""
        return self._netlink.takes(blobs)

    def observe_connections(self, virtual: Virtual) -> dict[Real, wire.Connections]:
        """The real servers of `virtual` with how many connections each has."""
        body = _LIST_REALS + wire.encode_virtual(virtual)
        return dict(
            wire.parse_real(payload[4:], virtual)
            for _, payload in self._netlink.dump(self.family, body)
        )

    def observe_virtuals(self, family: int) -> Servers:
        """Every virtual server of one IP family, without its real servers: one question for all."""
        listed = self._netlink.dump(self.family, _LIST_VIRTUALS)
        found = (wire.parse_virtual(payload[4:]) for _, payload in listed)
        return {v: server for v, server in found if (":" in v.address) == (family == 6)}

    def observe_servers(self, family: int) -> Servers:
        """Every virtual server of one IP family; its real servers take a question each."""
        return {
            virtual: replace(server, reals=frozenset(self.observe_connections(virtual)))
            for virtual, server in self.observe_virtuals(family).items()
        }


GONE = (errno.ENOENT, errno.ESRCH)
"""Refusals of a removal that mean it is not there any more."""
