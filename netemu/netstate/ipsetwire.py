"""ipset commands and listings as nfnetlink bytes.

The program `ipset` takes longer to start than the kernel to take in thousands of entries. One
message carries one entry, so that the kernel's refusal names the one that it is about.
linux/netfilter/ipset/ip_set.h, https://git.netfilter.org/ipset/tree/lib/PROTOCOL
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from netemu.netstate.address import packed
from netemu.netstate.conntrack import PROTOCOLS, attribute, attributes
from netemu.netstate.ipset import Command, SetValue

_SUBSYSTEM, _PROTOCOL = 6, 6
_COMMANDS = {"create": 2, "destroy": 3, "add": 9, "del": 10}
_REQUEST = 1
_NESTED, _NET_ORDER = 0x8000, 0x4000
_SETNAME, _TYPENAME, _REVISION, _FAMILY, _DATA, _ENTRIES = 2, 3, 4, 5, 7, 8
_IP, _PORT, _PORT_TO, _PROTO, _HASHSIZE, _MAXELEM, _IP2, _CIDR2 = 1, 4, 5, 7, 18, 19, 20, 21
_NUMBERS = {name: number for number, name in PROTOCOLS.items()}
_FAMILIES = {4: 2, 6: 10}
_TYPE_REVISION = 1
"""The oldest that has all we use (SCTP among it): newer programs and kernels know it, too."""

REFUSALS = {
    4098: "the kernel has no such type of set",
    4100: "in use by a rule",
    4102: "a set of another type has this name",
    4104: "this prefix length is not possible",
    4109: "an IPv4 address is missing",
    4110: "an IPv6 address is missing",
    4352: "the set is full, or the entry outside its range",
}
"""The errno values that only ipsets have."""


def encode(command: Command) -> bytes:
    """The request for `command`. Without NLM_F_EXCL what is there, or gone, already is fine."""
    verb, name, kind, family, entry = command
    body = _head(name, family)
    if verb == "create":
        body += _creation(kind, family)
    elif entry:
        body += attribute(_DATA | _NESTED, _entry(kind, entry))
    number = (_SUBSYSTEM << 8) | _COMMANDS[verb]
    return struct.pack("=IHHII", 16 + len(body), number, _REQUEST, 0, 0) + body


@lru_cache(maxsize=64)
def _head(name: str, family: int) -> bytes:
    start = struct.pack("=BBH", _FAMILIES[family], 0, 0) + attribute(1, bytes((_PROTOCOL,)))
    return start + (attribute(_SETNAME, name.encode() + b"\0") if name else b"")


ALL_SETS = _head("", 4)
SAVE = (_SUBSYSTEM << 8) | 8
"""A dump of this, for ALL_SETS, lists all sets with all entries."""


def _creation(kind: str, family: int) -> bytes:
    """kube-proxy's sizes, which are the program's defaults."""
    if kind == "bitmap:port":
        number, options = 0, _port(_PORT, 0) + _port(_PORT_TO, 65535)
    else:
        number = _FAMILIES[family]
        sizes = ((_HASHSIZE, 1024), (_MAXELEM, 65536))
        options = b"".join(struct.pack("=HH", 8, k | _NET_ORDER) + n.to_bytes(4) for k, n in sizes)
    return (
        attribute(_TYPENAME, kind.encode() + b"\0")
        + attribute(_REVISION, bytes((_TYPE_REVISION,)))
        + attribute(_FAMILY, bytes((number,)))
        + attribute(_DATA | _NESTED, options)
    )


def _port(kind: int, number: int) -> bytes:
    return attribute(kind | _NET_ORDER, number.to_bytes(2))


@lru_cache(maxsize=100_000)
def _address(kind: int, text: str) -> bytes:
    raw = packed(text)
    inner = attribute((1 if len(raw) == 4 else 2) | _NET_ORDER, raw)
    return attribute(kind | _NESTED, inner)


@lru_cache(maxsize=4096)
def _place(text: str) -> bytes:
    """`tcp:80`."""
    protocol, _, port = text.partition(":")
    return _port(_PORT, int(port)) + attribute(_PROTO, bytes((_NUMBERS[protocol],)))


def _entry(kind: str, text: str) -> bytes:
    if kind == "bitmap:port":
        return _port(_PORT, int(text))
    address, *more = text.split(",")
    found = _address(_IP, address)
    if more:
        found += _place(more[0])
    if len(more) > 1:
        network, _, length = more[1].partition("/")
        found += _address(_IP2, network)
        if length:
            found += attribute(_CIDR2, bytes((int(length),)))
    return found


def parse_listing(payloads: Iterable[bytes]) -> dict[str, SetValue]:
    """The sets of a dump of SAVE; one with many entries comes in several messages."""
    kinds: dict[str, tuple[str, int]] = {}
    entries: dict[str, list[str]] = {}
    for payload in payloads:
        found = dict(attributes(payload[4:]))
        name = _text(found[_SETNAME])
        if _TYPENAME in found:
            kinds[name] = _text(found[_TYPENAME]), 6 if found[_FAMILY] == b"\x0a" else 4
        kind = kinds[name][0]
        several = entries.setdefault(name, [])
        several += [_parse_entry(kind, e) for _, e in attributes(found.get(_ENTRIES, b""))]
    return {
        name: SetValue(name=name, kind=kind, family=family, entries=frozenset(entries[name]))
        for name, (kind, family) in kinds.items()
    }


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()


@lru_cache(maxsize=100_000)
def _shown(nested: bytes) -> str:
    """The address in a nested address attribute."""
    return str(ip_address(nested[4:]))


def _parse_entry(kind: str, data: bytes) -> str:
    found = dict(attributes(data))
    if kind == "bitmap:port":
        return str(int.from_bytes(found[_PORT]))
    parts = [_shown(found[_IP])]
    if _PORT in found:
        protocol = PROTOCOLS.get(found[_PROTO][0], str(found[_PROTO][0]))
        parts.append(f"{protocol}:{int.from_bytes(found[_PORT])}")
    if _IP2 in found:
        length = f"/{found[_CIDR2][0]}" if _CIDR2 in found else ""
        parts.append(_shown(found[_IP2]) + length)
    return ",".join(parts)
