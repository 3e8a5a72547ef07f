"""A parsed nftables rule as the kernel's expressions over registers.

Register 1 is 16 bytes wide and also four 4-byte ones (8 to 11); a concatenation fills them one
after the other.
linux/netfilter/nf_tables.h, https://git.netfilter.org/nftables/ (netlink_linearize.c)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import collapse_addresses, ip_network

from netemu.netstate import nftrule as rule
from netemu.netstate.address import packed
from netemu.netstate.nftparse import parse

_VERDICT_CODES = {"accept": 1, "drop": 0, "jump": -3, "goto": -4, "return": -5}
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_REG1, _REG32 = 1, 8
_EQUAL, _UNEQUAL = 0, 1
_FAMILIES = {"ip": 2, "ip6": 10}
_CT_NEW, _CT_STATUS_DNAT = 8, 32
_CT_KEY_STATE, _CT_KEY_STATUS = 0, 2
_META_MARK, _META_L4PROTO = 3, 16
_RTN_LOCAL = 2
_RANDOM_FULLY = 16


def attribute(kind: int, payload: bytes) -> bytes:
    length = len(payload)
    return struct.pack("=HH", length + 4, kind) + payload + b"\0" * (-length % 4)


def nested(kind: int, payload: bytes) -> bytes:
    return attribute(kind | 0x8000, payload)


def string(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def be32(kind: int, value: int) -> bytes:
    return struct.pack("=HH", 8, kind) + (value & 0xFFFFFFFF).to_bytes(4, "big")


def verdict_data(text: str) -> bytes:
    """The verdict attribute of `accept`, `drop`, `goto CHAIN` …"""
    word, _, chain = text.partition(" ")
    code = be32(1, _VERDICT_CODES[word])
    return nested(2, code + (string(2, chain) if chain else b""))


def _expression(name: str, body: bytes) -> bytes:
    return nested(1, string(1, name) + nested(2, body))


def _data(value: bytes) -> bytes:
    return attribute(1, value)


def _host32(value: int) -> bytes:
    return struct.pack("=I", value)


@dataclass(slots=True)
class AnonymousSet:
    """A set or map written out in a rule: sent before it, found by its number."""

    number: int
    key: str
    value: str = ""
    interval: bool = False
    elements: list[bytes] = field(default_factory=list)
    """Bodies of the element entries."""

    @property
    def name(self) -> str:
        return "__map%d" if self.value else "__set%d"


class _Encoder:
    def __init__(self, family: str, next_id: Callable[[], int]) -> None:
        self._family, self._next_id = family, next_id
        self._v6 = family == "ip6"
        self.sets: list[AnonymousSet] = []

    # --- loading values into registers ------------------------------------------------------

    def _size(self, part: rule.Primary) -> int:
        """Bytes that a part takes in a concatenation."""
        return 16 if self._v6 and part in (rule.Field("saddr"), rule.Field("daddr")) else 4

    def _load(self, value: rule.Value) -> bytes:
        """Expressions that put `value` into register 1 and those behind it."""
        loaded, at = [], 0
        for part in value:
            loaded.append(self._load_part(part, _REG1 if at == 0 else _REG32 + at // 4))
            at += self._size(part)
        return b"".join(loaded)

    def _load_part(self, part: rule.Primary, register: int) -> bytes:
        if isinstance(part, rule.Numgen):
            body = be32(1, register) + be32(2, part.modulus) + be32(3, 1) + be32(4, 0)
            return _expression("numgen", body)
        if isinstance(part, rule.AddressType):
            side = 1 if part.side == "saddr" else 2
            return _expression("fib", be32(1, register) + be32(2, 3) + be32(3, side))
        if part.name == "l4proto":
            return _expression("meta", be32(1, register) + be32(2, _META_L4PROTO))
        if part.name == "dport":
            return self._payload(register, 2, 2, 2)
        offset = {"saddr": (12, 8), "daddr": (16, 24)}[part.name][self._v6]
        return self._payload(register, 1, offset, 16 if self._v6 else 4)

    @staticmethod
    def _payload(register: int, base: int, offset: int, length: int) -> bytes:
        body = be32(1, register) + be32(2, base) + be32(3, offset) + be32(4, length)
        return _expression("payload", body)

    # --- comparing --------------------------------------------------------------------------

    @staticmethod
    def _compare(value: bytes, *, negated: bool = False) -> bytes:
        operator = _UNEQUAL if negated else _EQUAL
        return _expression("cmp", be32(1, _REG1) + be32(2, operator) + nested(3, _data(value)))

    @staticmethod
    def _bits(mask: bytes, flip: bytes) -> bytes:
        body = be32(1, _REG1) + be32(2, _REG1) + be32(3, len(mask))
        return _expression("bitwise", body + nested(4, _data(mask)) + nested(5, _data(flip)))

    def _lookup(
        self, name: str, number: int = 0, *, negated: bool = False, data: int = -1
    ) -> bytes:
        body = string(1, name) + be32(2, _REG1)
        body += be32(3, data) if data >= 0 else b""
        body += be32(4, number) if number else b""
        body += be32(5, 1) if negated else b""
        return _expression("lookup", body)

    def _constant(self, part: rule.Primary, text: str) -> bytes:
        if isinstance(part, rule.AddressType):
            return _host32({"local": _RTN_LOCAL}[text])
        if isinstance(part, rule.Numgen):
            return _host32(int(text))
        if part.name == "l4proto":
            return bytes((_PROTOCOLS[text],))
        if part.name == "dport":
            return int(text).to_bytes(2, "big")
        return packed(text)

    def _match(self, match: rule.Match) -> bytes:
        loaded = self._load(match.value)
        if match.name:
            return loaded + self._lookup(match.name, negated=match.negated)
        if len(match.wanted) > 1:
            return loaded + self._one_of(match)
        part, text = match.value[0], match.wanted[0]
        if "/" in text:
            network = ip_network(text)
            mask, zero = network.netmask.packed, bytes(len(network.netmask.packed))
            compared = self._compare(network.network_address.packed, negated=match.negated)
            return loaded + self._bits(mask, zero) + compared
        return loaded + self._compare(self._constant(part, text), negated=match.negated)

    def _one_of(self, match: rule.Match) -> bytes:
        part = match.value[0]
        is_address = part in (rule.Field("saddr"), rule.Field("daddr"))
        interval = is_address and any("/" in text for text in match.wanted)
        key = "inet_proto" if part == rule.Field("l4proto") else "inet_service"
        if is_address:
            key = "ipv6_addr" if self._v6 else "ipv4_addr"
        one = AnonymousSet(self._next_id(), key, interval=interval)
        if interval:
            one.elements = _intervals(match.wanted)
        else:
            one.elements = [nested(1, _data(self._constant(part, text))) for text in match.wanted]
        self.sets.append(one)
        return self._lookup(one.name, one.number, negated=match.negated)

    # --- maps -------------------------------------------------------------------------------

    def _mapped(self, value: rule.Value, lookup: rule.Lookup, *, verdict: bool) -> bytes:
        """Load `value`, look it up; the data goes to the verdict or to register 1."""
        loaded, target = self._load(value), 0 if verdict else _REG1
        if isinstance(lookup, str):
            return loaded + self._lookup(lookup, data=target)
        kind = "verdict" if verdict else f"{self._address_type} . inet_service"
        one = AnonymousSet(self._next_id(), "integer", kind)
        one.elements = self._pairs(value[0], lookup, verdict=verdict)
        self.sets.append(one)
        return loaded + self._lookup(one.name, one.number, data=target)

    @property
    def _address_type(self) -> str:
        return "ipv6_addr" if self._v6 else "ipv4_addr"

    def _pairs(self, part: rule.Primary, pairs: Mapping[str, str], *, verdict: bool) -> list[bytes]:
        elements = []
        for key, text in pairs.items():
            if verdict:
                data = verdict_data(text)
            else:
                address, _, port = text.partition(" . ")
                data = _data(packed(address) + int(port).to_bytes(2, "big") + b"\0\0")
            elements.append(nested(1, _data(self._constant(part, key))) + nested(2, data))
        return elements

    def _nat(self) -> bytes:
        """DNAT to the address in register 1 and the port behind it."""
        port = _REG32 + (4 if self._v6 else 1)
        body = be32(1, 1) + be32(2, _FAMILIES[self._family])
        # nft names the maximum registers as well, and so must who wants its listing.
        body += be32(3, _REG1) + be32(4, _REG1) + be32(5, port) + be32(6, port)
        return _expression("nat", body)

    def _dnat_to(self, to: rule.DnatTo) -> bytes:
        port = _REG32 + (4 if self._v6 else 1)
        address = be32(1, _REG1) + nested(2, _data(packed(to.address)))
        number = be32(1, port) + nested(2, _data(to.port.to_bytes(2, "big")))
        body = be32(1, 1) + be32(2, _FAMILIES[self._family]) + be32(3, _REG1) + be32(5, port)
        return (
            _expression("immediate", address)
            + _expression("immediate", number)
            + _expression("nat", body)
        )

    # --- statements -------------------------------------------------------------------------

    def operation(self, operation: rule.Operation) -> bytes:
        match operation:
            case rule.Verdict("reject"):
                return _expression("reject", be32(1, 0) + attribute(2, self._reject))
            case rule.Verdict():
                text = f"{operation.word} {operation.chain}".strip()
                return _expression("immediate", be32(1, 0) + nested(2, verdict_data(text)))
            case rule.Match():
                return self._match(operation)
            case rule.VerdictMap():
                return self._mapped(operation.value, operation.lookup, verdict=True)
            case rule.DnatMap():
                return self._mapped(operation.value, operation.lookup, verdict=False) + self._nat()
            case rule.DnatTo():
                return self._dnat_to(operation)
            case rule.Update():
                body = string(1, operation.name) + be32(3, 1) + be32(4, _REG1)
                return self._load(operation.value) + _expression("dynset", body)
            case rule.Masquerade():
                flags = be32(1, _RANDOM_FULLY) if operation.fully_random else b""
                return _expression("masq", flags)
            case _:
                return self._state(operation)

    @property
    def _reject(self) -> bytes:
        """Port unreachable: code 3 of ICMP, 4 of ICMPv6."""
        return bytes((4 if self._v6 else 3,))

    def _state(self, operation: rule.Conntrack | rule.MarkTest | rule.MarkSet) -> bytes:
        if isinstance(operation, rule.Conntrack):
            is_state = operation.what == "state"
            key = _CT_KEY_STATE if is_state else _CT_KEY_STATUS
            bit = _CT_NEW if is_state else _CT_STATUS_DNAT
            loaded = _expression("ct", be32(1, _REG1) + be32(2, key))
            return (
                loaded
                + self._bits(_host32(bit), _host32(0))
                + self._compare(_host32(0), negated=True)
            )
        loaded = _expression("meta", be32(1, _REG1) + be32(2, _META_MARK))
        if isinstance(operation, rule.MarkTest):
            masked = self._bits(_host32(operation.mask), _host32(0))
            wanted = _host32(operation.wanted)
            return loaded + masked + self._compare(wanted, negated=operation.negated)
        keep = 0xFFFFFFFF ^ operation.bits if operation.operator == "|" else 0xFFFFFFFF
        changed = self._bits(_host32(keep), _host32(operation.bits))
        return loaded + changed + _expression("meta", be32(2, _META_MARK) + be32(3, _REG1))


def _intervals(cidrs: tuple[str, ...]) -> list[bytes]:
    """Start and end of each range; ranges that touch are one."""
    networks = sorted(collapse_addresses([ip_network(c) for c in cidrs]))  # type: ignore[type-var]
    ranges: list[list[int]] = []
    length = networks[0].max_prefixlen // 8
    for network in networks:
        start, end = int(network.network_address), int(network.broadcast_address) + 1
        if ranges and ranges[-1][1] == start:
            ranges[-1][1] = end
        else:
            ranges.append([start, end])
    bodies = []
    if ranges[0][0] > 0:
        bodies.append(be32(3, 1) + nested(1, _data(bytes(length))))
    for start, end in ranges:
        bodies.append(nested(1, _data(start.to_bytes(length, "big"))))
        if end < 1 << (8 * length):
            bodies.append(be32(3, 1) + nested(1, _data(end.to_bytes(length, "big"))))
    return bodies


def encode_rule(
    text: str, family: str, next_id: Callable[[], int]
) -> tuple[bytes, list[AnonymousSet], str]:
    """(expressions, sets to send first, comment) of a rule."""
    parsed = parse(text)
    encoder = _Encoder(family, next_id)
    expressions = b"".join(encoder.operation(operation) for operation in parsed.operations)
    return expressions, encoder.sets, parsed.comment
