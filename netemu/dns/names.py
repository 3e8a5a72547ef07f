"""Names inside of rdata: reading and replacing them, for rewrites and additional processing.

RFC 1035 section 3.3
"""

from __future__ import annotations

from collections.abc import Callable

from netemu.dns import wire
from netemu.dns.records import Record

_BEFORE = {wire.CNAME: 0, wire.NS: 0, wire.PTR: 0, wire.DNAME: 0, wire.MX: 2, wire.SRV: 6}
"""Octets in front of the one name of the rdata."""


def target(record: Record) -> bytes | None:
    """The name that a record leads to; None for types without one."""
    before = _BEFORE.get(record.type)
    return None if before is None else record.rdata[before:]


def map_target(record: Record, change: Callable[[bytes], bytes]) -> Record:
    """The record with the names of its rdata changed."""
    before = _BEFORE.get(record.type)
    if before is not None:
        return record._replace(rdata=record.rdata[:before] + change(record.rdata[before:]))
    if record.type == wire.SOA:
        primary, at = wire.read_name(record.rdata, 0)
        mailbox, at = wire.read_name(record.rdata, at)
        return record._replace(rdata=change(primary) + change(mailbox) + record.rdata[at:])
    return record
