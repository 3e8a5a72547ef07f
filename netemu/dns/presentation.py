"""Records in presentation form (zone files, templates) → values. The one place that asks dnslib.

dnslib knows the text of many types; its wire form is read back with our own reader, so that names
come out uncompressed and its quirks stay here. Imported only when a plugin needs text.
RFC 1035 section 5
"""

from __future__ import annotations

from typing import Any

from netemu.dns import response, wire
from netemu.dns.records import Record


def parse(text: str, *, origin: str = ".", ttl: int = 3600) -> list[Record]:
    """All records of a zone file's text; ValueError says what cannot be read."""
    from dnslib import RR

    try:
        found = RR.fromZone(text, origin=origin, ttl=ttl)
        return [_record(rr) for rr in found]
    except Exception as error:  # dnslib raises whatever comes up
        raise ValueError(f"{_first_line(text)!r} is not a resource record: {error}") from None


def parse_one(text: str) -> Record:
    """One record, such as `example.org. 60 IN A 192.0.2.1`."""
    found = parse(text if text.endswith("\n") else f"{text}\n")
    if len(found) != 1:
        raise ValueError(f"{text!r} is not one resource record")
    return found[0]


def _record(rr: Any) -> Record:
    from dnslib import DNSHeader, DNSQuestion, DNSRecord

    message = DNSRecord(DNSHeader(qr=1), q=DNSQuestion("."), rr=[rr])
    return response.read(bytes(message.pack()))[4].answer[0]


def rdata_text(record: Record) -> str:
    """The rdata of a record as a person writes it; RFC 3597's form for types dnslib lacks."""
    from dnslib import DNSRecord

    question = wire.ROOT + wire.QUESTION.pack(record.type, record.cls)
    data = (
        wire.HEADER.pack(0, wire.QR, 1, 1, 0, 0)
        + question
        + record.name
        + wire.FIXED.pack(record.type, record.cls, record.ttl, len(record.rdata))
        + record.rdata
    )
    try:
        return str(DNSRecord.parse(data).rr[0].rdata)
    except Exception:  # dnslib raises whatever comes up
        return f"\\# {len(record.rdata)} {record.rdata.hex()}"


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), text)[:100]
