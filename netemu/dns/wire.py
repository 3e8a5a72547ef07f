"""DNS wire format: names as bytes, the question parser, bounds on everything.

Names stay in wire form (`\\x03web\\x07default…\\x00`), so a label may hold any octet, also a dot
(RFC 1035 §3.1, RFC 2181 §11), and lower-casing is one `bytes.lower()`: length octets are at most 63
and letters start at 65. dnslib is not asked here: it takes names over 255 octets, label type 0x40,
and recurses on pointers.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV = 1, 2, 5, 6, 12, 13, 15, 16, 28, 33
DNAME, OPT = 39, 41
IXFR, AXFR, ANY = 251, 252, 255
TRANSFERS = (IXFR, AXFR)
IN, CH, CLASS_ANY = 1, 3, 255

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
BADVERS = 16

EXTENDED_ERROR = 15
"""The EDNS option of RFC 8914."""

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE = 0x7800

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "RP": 17,
    "AFSDB": 18, "SIG": 24, "KEY": 25, "AAAA": 28, "LOC": 29, "SRV": 33, "NAPTR": 35, "KX": 36,
    "CERT": 37, "DNAME": 39, "OPT": 41, "APL": 42, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47,
    "DNSKEY": 48, "NSEC3": 50, "NSEC3PARAM": 51, "TLSA": 52, "SMIMEA": 53, "CDS": 59,
    "CDNSKEY": 60, "OPENPGPKEY": 61, "SVCB": 64, "HTTPS": 65, "SPF": 99, "IXFR": 251, "AXFR": 252,
    "ANY": 255, "URI": 256, "CAA": 257,
}  # fmt: skip
TYPE_NAMES = {number: name for name, number in TYPES.items()}
CLASSES = {"IN": 1, "CH": 3, "CHAOS": 3, "HS": 4, "ANY": 255}
CLASS_NAMES = {1: "IN", 3: "CH", 4: "HS", 255: "ANY"}
RCODES = {
    "NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5,
    "YXDOMAIN": 6, "YXRRSET": 7, "NXRRSET": 8, "NOTAUTH": 9, "NOTZONE": 10, "BADVERS": 16,
}  # fmt: skip
RCODE_NAMES = {number: name for name, number in RCODES.items()}

HEADER = Struct(">HHHHHH")
QUESTION = Struct(">HH")
FIXED = Struct(">HHIH")
"""Type, class, TTL and length of a resource record, after its owner."""
OPTION = Struct(">HH")
"""Code and length of an EDNS option."""

MAX_NAME = 255
MAX_LABEL = 63
ROOT = b"\0"


class Malformed(Exception):
    """The bytes are not a DNS message; the reply is FORMERR."""


def type_name(number: int) -> str:
    """`A`, or `TYPE65280` (RFC 3597) where there is no name."""
    return TYPE_NAMES.get(number) or f"TYPE{number}"


def type_number(text: str) -> int:
    """The number of `A` or `TYPE65280`; ValueError for anything else."""
    upper = text.upper()
    if upper in TYPES:
        return TYPES[upper]
    if upper.startswith("TYPE") and upper[4:].isdigit() and int(upper[4:]) < 65536:
        return int(upper[4:])
    raise ValueError(f"{text!r} is not a record type; try A, AAAA, SRV, PTR or TYPE<number>")


def class_name(number: int) -> str:
    return CLASS_NAMES.get(number) or f"CLASS{number}"


def rcode_name(number: int) -> str:
    return RCODE_NAMES.get(number) or f"RCODE{number}"


def join(labels: Iterable[bytes], suffix: bytes = ROOT) -> bytes:
    """Labels in front of a wire name; ValueError past 63 or 255 octets."""
    parts = bytearray()
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL:
            raise ValueError(f"a label must have 1 to 63 octets, {label!r} has {len(label)}")
        parts.append(len(label))
        parts += label
    parts += suffix
    if len(parts) > MAX_NAME:
        raise ValueError(f"a name must have at most 255 octets, this one has {len(parts)}")
    return bytes(parts)


def from_text(text: str) -> bytes:
    """The wire form of a name in presentation form, with `\\.` and `\\DDD` escapes.

    A missing final dot is taken as given; letters beyond ASCII become UTF-8 octets.
    """
    if text in ("", "."):
        return ROOT
    if "\\" not in text:
        return join(part.encode() for part in text.removesuffix(".").split("."))
    labels, label, index = [], bytearray(), 0
    while index < len(text):
        char = text[index]
        index += 1
        if char == "\\" and text[index : index + 3].isdigit() and len(text) >= index + 3:
            label.append(int(text[index : index + 3]) & 255)
            index += 3
        elif char == "\\" and index < len(text):
            label += text[index].encode()
            index += 1
        elif char == ".":
            labels.append(bytes(label))
            label = bytearray()
        else:
            label += char.encode()
    if label:
        labels.append(bytes(label))
    return join(labels)


_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b'."\\();@$')


def to_text(name: bytes) -> str:
    """The presentation form, with the final dot."""
    if name == ROOT:
        return "."
    return "".join(
        "".join(chr(c) if c in _PLAIN else _escape(c) for c in label) + "."
        for label in labels(name)
    )


def _escape(octet: int) -> str:
    return f"\\{octet:03d}" if not 0x21 <= octet < 0x7F else f"\\{chr(octet)}"


def labels(name: bytes) -> list[bytes]:
    """The labels of an uncompressed wire name, without the root."""
    found, at = [], 0
    while length := name[at]:
        found.append(name[at + 1 : at + 1 + length])
        at += length + 1
    return found


def offsets(name: bytes) -> list[int]:
    """Where each label starts, the root's own octet last."""
    found, at = [], 0
    while length := name[at]:
        found.append(at)
        at += length + 1
    found.append(at)
    return found


def is_below(name: bytes, zone: bytes) -> bool:
    """Whether `name` is `zone` or below it; both lower-cased."""
    return name.endswith(zone) and len(name) - len(zone) in offsets(name)


def read_name(data: bytes, at: int) -> tuple[bytes, int]:
    """The possibly compressed name at `at`, uncompressed, and the offset after it.

    Pointers must go backwards, so there is no loop to bound.
    """
    parts: list[bytes] = []
    size, end, limit = 1, -1, at
    while True:
        if at >= len(data):
            raise Malformed("a name runs past the end of the message")
        length = data[at]
        if length < 0x40:
            if not length:
                break
            parts.append(data[at : at + length + 1])
            size += length + 1
            at += length + 1
            if size > MAX_NAME or at >= len(data):
                raise Malformed("a name is over 255 octets or cut")
        elif length >= 0xC0 and at + 1 < len(data):
            target = (length & 0x3F) << 8 | data[at + 1]
            if target >= limit:
                raise Malformed("a compression pointer does not go backwards")
            end = at + 2 if end < 0 else end
            at = limit = target
        else:
            raise Malformed("a label of an unknown type")
    parts.append(ROOT)
    return b"".join(parts), at + 1 if end < 0 else end


def read_question(data: bytes) -> tuple[tuple[int, ...], int]:
    """Where the labels of the question's name start within it, and the offset after the name.

    The name stands at octet 12 and has nothing in front that a pointer could mean.
    """
    at, last, starts = 12, len(data), []
    while True:
        if at >= last:
            raise Malformed("the question is cut")
        length = data[at]
        starts.append(at - 12)
        if not length:
            break
        if length > MAX_LABEL:
            raise Malformed("a pointer or an unknown label type in the question")
        at += length + 1
    if at - 11 > MAX_NAME:
        raise Malformed("the name is over 255 octets")
    return tuple(starts), at + 1
