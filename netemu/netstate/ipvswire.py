"""IPVS requests and answers as generic netlink bytes.

linux/uapi/linux/ip_vs.h, https://git.kernel.org/pub/scm/utils/kernel/ipvsadm/ipvsadm.git
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from netemu.netstate.address import packed
from netemu.netstate.conntrack import attributes
from netemu.netstate.ipvs import Real, Server, Virtual

NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DEST, SET_DEST, DEL_DEST, GET_DEST = 5, 6, 7, 8
_SERVICE, _DEST = 1, 2
_PERSISTENT, _HASHED = 1, 2
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
_PROTOCOLS = {number: name for name, number in _NUMBERS.items()}
_AF_INET, _AF_INET6 = 2, 10


def _attribute(kind: int, payload: bytes) -> bytes:
    length = len(payload)
    return struct.pack("=HH", length + 4, kind) + payload + b"\0" * (-length % 4)


def _nested(kind: int, payload: bytes) -> bytes:
    return _attribute(kind | 0x8000, payload)


def _family(address: str) -> int:
    return _AF_INET6 if ":" in address else _AF_INET


_IDENTITY = struct.Struct("=HHH2xHHH2xHH16sHH2s2x")


def _identity(virtual: Virtual) -> bytes:
    address, port = packed(virtual.address), virtual.port.to_bytes(2, "big")
    family, number = _family(virtual.address), _NUMBERS[virtual.protocol]
    return _IDENTITY.pack(6, 1, family, 6, 2, number, 20, 3, address, 6, 4, port)


Request = tuple[int, Virtual, Server | None, Real | None]
"""(command, virtual server, how it balances, real server)."""

_HEADER = struct.Struct("=IHHIIBBH")
_NLM_F_REQUEST = 1


def encode_request(family: int, request: Request) -> bytes:
    """The whole message; `family` is the number that this kernel has given to IPVS."""
    command, virtual, server, real = request
    body = encode_virtual(virtual, server)
    if real is not None:
        body += encode_real(real, whole=command != DEL_DEST)
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, family, _NLM_F_REQUEST, 0, 0, command, 1, 0) + body


def encode_virtual(virtual: Virtual, server: Server | None = None) -> bytes:
    """The service attribute; with `server` also how it balances."""
    if server is None:
        return _encode_identity(virtual)
    flags = _PERSISTENT if server.persistent else 0
    is_v6 = _family(virtual.address) == _AF_INET6
    # The client's whole address keeps it with its server.
    netmask = 128 if is_v6 else 0xFFFFFFFF
    body = _identity(virtual) + _attribute(6, server.scheduler.encode() + b"\0")
    body += _BALANCING.pack(12, 7, flags, 0xFFFFFFFF, 8, 8, server.persistent, 8, 9, netmask)
    return _nested(_SERVICE, body)


_BALANCING = struct.Struct("=HHIIHHIHHI")


@lru_cache(maxsize=1024)
def _encode_identity(virtual: Virtual) -> bytes:
    """A virtual server's real servers come one after the other, each with this in front."""
    return _nested(_SERVICE, _identity(virtual))


_REAL = struct.Struct("=HHHH16sHH2s2xHHH2x")
_BALANCED_REAL = struct.Struct("=HHHH16sHH2s2xHHH2xHHIHHIHHIHHI")


def encode_real(real: Real, *, whole: bool = True) -> bytes:
    """The destination attribute: NAT, no thresholds. One pack: there may be many thousands."""
    form = _BALANCED_REAL if whole else _REAL
    head = (form.size, _DEST | 0x8000, 20, 1, packed(real.address))
    place = (*head, 6, 2, real.port.to_bytes(2, "big"), 6, 11, _family(real.address))
    if not whole:
        return form.pack(*place)
    return form.pack(*place, 8, 3, 0, 8, 4, real.weight, 8, 5, 0, 8, 6, 0)


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections a real server has."""

    active: int
    inactive: int


def _address(data: bytes, family: int) -> str:
    return str(ip_address(data[:16] if family == _AF_INET6 else data[:4]))


def parse_virtual(payload: bytes) -> tuple[Virtual, Server]:
    """A service answer (behind its generic header); its real servers come by themselves."""
    outer = dict(attributes(payload))
    found = dict(attributes(outer[_SERVICE]))
    (family,) = struct.unpack_from("=H", found[1])
    (number,) = struct.unpack_from("=H", found.get(2, b"\0\0"))
    virtual = Virtual(
        _address(found[3], family),
        _PROTOCOLS.get(number, str(number)),
        int.from_bytes(found[4][:2], "big"),
    )
    (flags,) = struct.unpack_from("=I", found[7])
    (timeout,) = struct.unpack_from("=I", found[8])
    scheduler = found[6].rstrip(b"\0").decode()
    return virtual, Server(scheduler=scheduler, persistent=timeout if flags & _PERSISTENT else 0)


def parse_real(payload: bytes, virtual: Virtual) -> tuple[Real, Connections]:
    """A destination answer of `virtual`."""
    found = dict(attributes(dict(attributes(payload))[_DEST]))
    family = _family(virtual.address)
    if 11 in found:
        (family,) = struct.unpack_from("=H", found[11])

    def number(kind: int) -> int:
        value: int = struct.unpack_from("=I", found.get(kind, bytes(4)))[0]
        return value

    real = Real(_address(found[1], family), int.from_bytes(found[2][:2], "big"), number(4))
    return real, Connections(number(7), number(8))
