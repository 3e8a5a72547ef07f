"""nftables tables and changes as nfnetlink bytes: one batch, one transaction in the kernel.

The `nft` program spends most of a small change on starting, reading the ruleset and, at the end,
waiting for the kernel to free what it deleted; bytes over a persistent socket spend nothing on it.
The kernel sees what `nft` would send, so `nft list ruleset` shows the same.
linux/netfilter/nf_tables.h, https://git.netfilter.org/libnftnl/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from netemu.netstate.address import packed
from netemu.netstate.nfexpr import (
    AnonymousSet,
    attribute,
    be32,
    encode_rule,
    nested,
    string,
    verdict_data,
)
from netemu.netstate.nftables import Chain, Delta, NftSet, Table

_NEWTABLE, _DELTABLE, _NEWCHAIN, _DELCHAIN, _NEWRULE, _DELRULE = 0, 2, 3, 5, 6, 8
_NEWSET, _DELSET, _NEWSETELEM, _DELSETELEM = 9, 11, 12, 14
_BATCH_BEGIN, _BATCH_END = 16, 17
_SUBSYSTEM = 10
_REQUEST, _CREATE, _APPEND = 1, 0x400, 0x800
_FAMILIES = {"ip": 2, "ip6": 10}
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
_ANONYMOUS, _CONSTANT, _INTERVAL, _MAP, _TIMEOUT, _DYNAMIC = 1, 2, 4, 8, 16, 32
_VERDICT_TYPE = 0xFFFFFF00
_TYPES = {
    "ipv4_addr": (7, 4),
    "ipv6_addr": (8, 16),
    "inet_proto": (12, 4),
    "inet_service": (13, 4),
    "mark": (19, 4),
    "integer": (4, 4),
}
"""Number and length (padded to a register) of nft's data types."""
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
ELEMENTS_LIMIT = 60_000
"""Bytes of elements in one message: an attribute's length has 16 bits."""


@lru_cache(maxsize=1000)
def _type_of(text: str) -> tuple[int, int]:
    """(type number, key length) of `ipv4_addr . inet_proto . inet_service`."""
    number = length = 0
    parts = text.split(" . ")
    for part in parts:
        kind, size = _TYPES[part]
        number = (number << 6) | kind
        length += size
    if len(parts) == 1:
        length = {"inet_proto": 1, "inet_service": 2}.get(parts[0], length)
    return number, length


def encode_part(kind: str, text: str) -> bytes:
    """One component of a key, padded to whole registers."""
    if kind in ("ipv4_addr", "ipv6_addr"):
        return packed(text)
    if kind == "inet_proto":
        return bytes((_PROTOCOLS[text], 0, 0, 0))
    if kind == "inet_service":
        return int(text).to_bytes(2, "big") + b"\0\0"
    return struct.pack("=I", int(text, 0))


def encode_key(types: str, text: str) -> bytes:
    kinds = types.split(" . ")
    parts = text.split(" . ")
    return b"".join(encode_part(k, t) for k, t in zip(kinds, parts, strict=True))


def encode_data(types: str, text: str) -> bytes:
    """An element's data attribute: a verdict, or a value such as `address . port`."""
    if types == "verdict":
        return nested(2, verdict_data(text))
    return nested(2, attribute(1, encode_key(types, text)))


def encode_element(value: NftSet, key: str, data: str = "") -> bytes:
    """One list entry of a set-element message."""
    body = nested(1, attribute(1, encode_key(value.key, key)))
    return nested(1, body + (encode_data(value.value, data) if value.value and data else b""))


class Batch:
    """Messages of one transaction for one table."""

    def __init__(self, family: str, table: str) -> None:
        self._family, self._table = _FAMILIES[family], string(1, table)
        self._parts: list[bytes] = []
        self._ids = 0

    def _message(self, kind: int, body: bytes, flags: int = 0) -> None:
        header = struct.pack(
            "=IHHIIBBH",
            20 + len(body),
            (_SUBSYSTEM << 8) | kind,
            _REQUEST | flags,
            len(self._parts) + 2,
            0,
            self._family,
            0,
            0,
        )
        self._parts.append(header + body)

    def add_table(self, comment: str = "") -> None:
        data = attribute(6, _comment(comment)) if comment else b""
        self._message(_NEWTABLE, self._table + data, _CREATE)

    def delete_table(self) -> None:
        self._message(_DELTABLE, self._table)

    def add_chain(self, name: str, chain: Chain) -> None:
        body = self._table + string(3, name)
        if chain.hook:
            priority = struct.pack(">i", chain.priority)
            body += nested(4, be32(1, _HOOKS[chain.hook]) + attribute(2, priority))
            body += be32(5, 1) + string(7, chain.kind)
        if chain.comment:
            body += attribute(12, _comment(chain.comment))
        self._message(_NEWCHAIN, body, _CREATE)

    def delete_chain(self, name: str) -> None:
        self._message(_DELCHAIN, self._table + string(3, name))

    def flush_chain(self, name: str) -> None:
        self._message(_DELRULE, self._table + string(2, name))

    def add_rules(self, chain: str, rules: Iterable[str], family: str) -> None:
        for text in rules:
            expressions, anonymous, comment = encode_rule(text, family, self._next_id)
            for one in anonymous:
                self._anonymous(one)
            body = self._table + string(2, chain) + nested(4, expressions)
            if comment:
                body += attribute(7, _comment(comment))
            self._message(_NEWRULE, body, _CREATE | _APPEND)

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _anonymous(self, one: AnonymousSet) -> None:
        number, length = _type_of(one.key)
        flags = _ANONYMOUS | _CONSTANT
        flags |= (_MAP if one.value else 0) | (_INTERVAL if one.interval else 0)
        body = self._table + string(2, one.name) + be32(3, flags)
        body += be32(4, number) + be32(5, length) + self._data_type(one.value)
        body += be32(10, one.number) + attribute(13, _HOST_ORDER if one.key == "integer" else b"")
        self._message(_NEWSET, body, _CREATE)
        elements = b"".join(nested(1, element) for element in one.elements)
        body = self._table + string(2, one.name) + be32(4, one.number) + nested(3, elements)
        self._message(_NEWSETELEM, body, _CREATE)

    @staticmethod
    def _data_type(value: str) -> bytes:
        if not value:
            return b""
        if value == "verdict":
            return be32(6, _VERDICT_TYPE) + be32(7, 16)
        number, length = _type_of(value)
        return be32(6, number) + be32(7, length)

    def add_set(self, name: str, value: NftSet) -> None:
        number, length = _type_of(value.key)
        flags = (_MAP if value.value else 0) | ((_TIMEOUT | _DYNAMIC) if value.timeout else 0)
        body = self._table + string(2, name) + be32(3, flags)
        body += be32(4, number) + be32(5, length) + self._data_type(value.value)
        if value.timeout:
            body += nested(9, be32(1, 65535))
        body += be32(10, self._next_id())
        if value.timeout:
            body += attribute(11, struct.pack(">Q", value.timeout * 1000))
        if value.comment:
            body += attribute(13, _comment(value.comment, kind=7))
        self._message(_NEWSET, body, _CREATE)

    def delete_set(self, name: str) -> None:
        self._message(_DELSET, self._table + string(2, name))

    def add_elements(self, name: str, value: NftSet, elements: Mapping[str, str]) -> None:
        self.add_encoded(name, (encode_element(value, k, d) for k, d in elements.items()))

    def delete_elements(self, name: str, value: NftSet, keys: Iterable[str]) -> None:
        head = self._table + string(2, name)
        for part in _parts(encode_element(value, key) for key in keys):
            self._message(_DELSETELEM, head + nested(3, part))

    def add_encoded(self, name: str, elements: Iterable[bytes]) -> None:
        """Elements that are encoded already."""
        head = self._table + string(2, name)
        for part in _parts(elements):
            self._message(_NEWSETELEM, head + nested(3, part), _CREATE)

    def add_blob(self, name: str, blob: bytes, size: int) -> None:
        """Encoded elements of `size` bytes each, joined."""
        head = self._table + string(2, name)
        step = ELEMENTS_LIMIT // size * size
        for at in range(0, len(blob), step):
            self._message(_NEWSETELEM, head + nested(3, blob[at : at + step]), _CREATE)

    def encode(self) -> bytes:
        """The whole transaction."""
        begin = struct.pack("=IHHIIBBH", 20, _BATCH_BEGIN, _REQUEST, 1, 0, 0, 0, _RESOURCE)
        last = len(self._parts) + 2
        end = struct.pack("=IHHIIBBH", 20, _BATCH_END, _REQUEST, last, 0, 0, 0, _RESOURCE)
        return b"".join([begin, *self._parts, end])


_HOST_ORDER = bytes((0, 4)) + struct.pack("=I", 1)
"""User data that tells nft in which order to print a key's bytes."""
_RESOURCE = int.from_bytes(_SUBSYSTEM.to_bytes(2, "big"), "little")
"""htons(NFNL_SUBSYS_NFTABLES)."""


def _comment(text: str, kind: int = 0) -> bytes:
    """libnftnl's user data: type, length, text."""
    data = text.encode()[:127] + b"\0"
    return bytes((kind, len(data))) + data


def _parts(elements: Iterable[bytes]) -> Iterator[bytes]:
    part: list[bytes] = []
    size = 0
    for element in elements:
        if size + len(element) > ELEMENTS_LIMIT:
            yield b"".join(part)
            part, size = [], 0
        part.append(element)
        size += len(element)
    if part:
        yield b"".join(part)


def add_structure(batch: Batch, table: Table) -> None:
    """The table anew, with its chains, sets and rules, and with no element yet."""
    batch.add_table()
    batch.delete_table()
    batch.add_table(table.comment)
    for name, chain in table.chains.items():
        batch.add_chain(name, chain)
    for name, value in table.sets.items():
        batch.add_set(name, value)
    for name, chain in table.chains.items():
        batch.add_rules(name, chain.rules, table.family)


def encode_table(table: Table) -> bytes:
    """The batch after which the kernel holds exactly `table`."""
    batch = Batch(table.family, table.name)
    add_structure(batch, table)
    for name, value in table.sets.items():
        batch.add_elements(name, value, value.elements)
    return batch.encode()


def encode_delta(
    table: Table, delta: Delta, sets: Mapping[str, NftSet], *, delete_chains: bool = False
) -> bytes:
    """The batch for `delta`; `sets` tells the types of the sets that stay."""
    batch = Batch(table.family, table.name)
    for name, chain in delta.chains.items():
        batch.add_chain(name, chain)
    for name, value in delta.sets.items():
        batch.add_set(name, value)
        batch.add_elements(name, value, value.elements)
    for name, chain in delta.chains.items():
        batch.flush_chain(name)
        batch.add_rules(name, chain.rules, table.family)
    for name, keys in delta.removed.items():
        batch.delete_elements(name, sets[name], keys)
    for name, elements in delta.added.items():
        batch.add_elements(name, sets[name], elements)
    for name in delta.dropped_chains:
        batch.flush_chain(name)
    if delete_chains:
        for name in delta.dropped_chains:
            batch.delete_chain(name)
    for name in delta.dropped_sets:
        batch.delete_set(name)
    return batch.encode()
