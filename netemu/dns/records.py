"""Resource records as values: owner and rdata in uncompressed wire form.

RFC 1035 §3.3, RFC 3596 (AAAA), RFC 2782 (SRV).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from netemu.dns import wire

_SRV = Struct(">HHH")
_SOA = Struct(">IIIII")


class Record(NamedTuple):
    """One record. `name` and the names in `rdata` are uncompressed; `ttl` in seconds."""

    name: bytes
    type: int
    ttl: int
    rdata: bytes
    cls: int = wire.IN


def cname(name: bytes, ttl: int, target: bytes) -> Record:
    return Record(name, wire.CNAME, ttl, target)


def srv(name: bytes, ttl: int, weight: int, port: int, target: bytes) -> Record:
    """Priority 0, as CoreDNS serves it."""
    return Record(name, wire.SRV, ttl, _SRV.pack(0, weight, port) + target)


def txt(name: bytes, ttl: int, text: bytes, cls: int = wire.IN) -> Record:
    """A TXT record; text over 255 octets becomes several strings."""
    pieces = [text[at : at + 255] for at in range(0, len(text), 255)] or [b""]
    return Record(name, wire.TXT, ttl, b"".join(bytes([len(p)]) + p for p in pieces), cls)


def soa(
    name: bytes,
    ttl: int,
    *,
    primary: bytes,
    mailbox: bytes,
    serial: int,
    minimum: int,
    refresh: int = 7200,
    retry: int = 1800,
    expire: int = 86400,
) -> Record:
    """`primary` and `mailbox` are wire names; times in seconds."""
    numbers = _SOA.pack(serial & 0xFFFFFFFF, refresh, retry, expire, minimum)
    return Record(name, wire.SOA, ttl, primary + mailbox + numbers)


def hinfo(name: bytes, ttl: int, cpu: bytes, system: bytes = b"") -> Record:
    rdata = bytes([len(cpu)]) + cpu + bytes([len(system)]) + system
    return Record(name, wire.HINFO, ttl, rdata)


def address(name: bytes, ttl: int, packed: bytes) -> Record:
    """A or AAAA, by the length of the packed address."""
    return Record(name, wire.A if len(packed) == 4 else wire.AAAA, ttl, packed)


def soa_minimum(record: Record) -> int:
    """The minimum field of an SOA: the life of a negative answer (RFC 2308 §5)."""
    return int.from_bytes(record.rdata[-4:], "big") if len(record.rdata) >= 22 else 0
