"""The other fields of `rewrite`: type, class, ttl, rcode, cname, edns0."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

from netemu.dns import names, wire
from netemu.dns.corefile import Line
from netemu.dns.message import Edns, Query, Reply
from netemu.dns.plugins.rewriting.rule import Matcher, Respond, split_match
from netemu.dns.records import Record

NSID, SUBNET = 3, 8
UDP_SIZE = 4096


class TypeRule:
    """`type FROM TO`."""

    def __init__(self, line: Line, words: list[str], stop: bool) -> None:
        self.stop = stop
        if len(words) != 2:
            line.fail("type needs FROM and TO")
        try:
            self.old, self.new = (wire.type_number(word) for word in words)
        except ValueError as error:
            line.fail(str(error))

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None:
        return (replace(query, qtype=self.new), None) if query.qtype == self.old else None


class ClassRule:
    """`class FROM TO`."""

    def __init__(self, line: Line, words: list[str], stop: bool) -> None:
        self.stop = stop
        found = [wire.CLASSES.get(word.upper(), 0) for word in words]
        if len(found) != 2 or 0 in found:
            line.fail(f"class needs FROM and TO, of {', '.join(wire.CLASSES)}")
        self.old, self.new = found

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None:
        return (replace(query, qclass=self.new), None) if query.qclass == self.old else None


class TtlRule:
    """`ttl [exact|…] NAME SECONDS`, where SECONDS may be a range: `30-300`, `-300`, `30-`."""

    def __init__(self, line: Line, words: list[str], stop: bool) -> None:
        self.stop = stop
        how = split_match(words)
        found = re.fullmatch(r"(\d*)(-?)(\d*)", words[1]) if len(words) == 2 else None
        if found is None or not (found[1] or found[3]):
            line.fail("ttl needs a name and seconds, or a range such as 30-300")
        self.matcher = Matcher(line, how, words[0])
        self.low = int(found[1] or 0)
        self.high = self.low if not found[2] else int(found[3] or 2**31 - 1)

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None:
        if not self.matcher.matches(query):
            return None

        def respond(original: Query, reply: Reply) -> None:
            reply.answer[:] = [self._bounded(record) for record in reply.answer]

        return query, respond

    def _bounded(self, record: Record) -> Record:
        return record._replace(ttl=max(self.low, min(self.high, record.ttl)))


class RcodeRule:
    """`rcode [exact|…] NAME FROM TO`."""

    def __init__(self, line: Line, words: list[str], stop: bool) -> None:
        self.stop = stop
        how = split_match(words)
        codes = [wire.RCODES.get(word.upper(), -1) for word in words[1:]]
        if len(codes) != 2 or -1 in codes:
            line.fail(f"rcode needs a name, then FROM and TO, of {', '.join(wire.RCODES)}")
        self.matcher = Matcher(line, how, words[0])
        self.old, self.new = codes

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None:
        if not self.matcher.matches(query):
            return None

        def respond(original: Query, reply: Reply) -> None:
            if reply.rcode == self.old:
                reply.rcode = self.new

        return query, respond


class CnameRule:
    """`cname [exact|…] FROM TO`: a CNAME's target in the reply, looked up again for addresses.

    The plugin asks again (`retarget`), since a rule must not wait.
    """

    def __init__(self, line: Line, words: list[str], stop: bool) -> None:
        self.stop = stop
        how = split_match(words)
        if len(words) != 2:
            line.fail("cname needs FROM and TO")
        self.matcher = Matcher(line, how, words[0])
        self.to = words[1]

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None:
        return query, None

    def retarget(self, reply: Reply) -> bytes | None:
        """Change the first CNAME that matches, drop what followed; its new target."""
        for index, record in enumerate(reply.answer):
            target = names.target(record) if record.type == wire.CNAME else None
            if target is None:
                continue
            text = wire.to_text(target.lower())
            if self.matcher.matches_text(text):
                new = wire.from_text(self._replaced(text))
                reply.answer[index:] = [record._replace(rdata=new)]
                return new
        return None

    def _replaced(self, text: str) -> str:
        how, old = self.matcher.how, self.matcher.text
        if how == "exact":
            return self.to
        if how == "prefix":
            return self.to + text[len(old) :]
        if how == "suffix":
            return text[: len(text) - len(old)] + self.to
        if how == "substring":
            return text.replace(old, self.to)
        return self.matcher.pattern.sub(re.sub(r"\{(\d+)\}", r"\\g<\1>", self.to), text)


class EdnsRule:
    """`edns0 local|nsid|subnet set|append|replace|unset … [revert]`: an option for the upstream.

    `revert` has nothing to do: a reply never shows the options of its query.
    """

    def __init__(self, line: Line, words: list[str], stop: bool) -> None:
        self.stop = stop
        if len(words) < 2 or words[1] not in ("set", "append", "replace", "unset"):
            line.fail("edns0 needs local, nsid or subnet, then set, append, replace or unset")
        if words[-1] == "revert":
            words = words[:-1]
        self.action = words[1]
        makers = {"local": self._local, "nsid": self._nsid, "subnet": self._subnet}
        if words[0] not in makers:
            line.fail(f"{words[0]!r} is not one of {', '.join(makers)}")
        self.code, self.make = makers[words[0]](line, words[2:])

    def _local(self, line: Line, words: list[str]) -> tuple[int, Callable[[Query], bytes]]:
        unset = self.action == "unset"
        if len(words) != 2 - unset or not re.fullmatch(r"0x[0-9a-fA-F]{1,4}|\d+", words[0]):
            line.fail("local needs a code such as 0xffee and, except for unset, data")
        text = "" if unset else words[1]
        if text.startswith("{") and text.endswith("}"):
            variable = _VARIABLES.get(text[1:-1])
            if variable is None:
                line.fail(f"{text} is not one of {', '.join(_VARIABLES)}")
            return int(words[0], 0), variable
        try:
            data = bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
        except ValueError:
            line.fail(f"{text!r} is not hexadecimal")
        return int(words[0], 0), lambda query: data

    def _nsid(self, line: Line, words: list[str]) -> tuple[int, Callable[[Query], bytes]]:
        return NSID, lambda query: b""

    def _subnet(self, line: Line, words: list[str]) -> tuple[int, Callable[[Query], bytes]]:
        if self.action == "unset" and not words:
            return SUBNET, lambda query: b""
        if len(words) != 2 or not all(word.isdigit() for word in words):
            line.fail("subnet needs the bits for IPv4 and for IPv6")
        bits = {4: int(words[0]), 6: int(words[1])}
        if bits[4] > 32 or bits[6] > 128:
            line.fail("the bits are more than an address has")

        def make(query: Query) -> bytes:
            address = ip_address(str(query.client[0]).partition("%")[0])
            length = bits[address.version]
            network = ip_network((address, length), strict=False).network_address.packed
            head = (1 if address.version == 4 else 2).to_bytes(2, "big") + bytes([length, 0])
            return head + network[: (length + 7) // 8]

        return SUBNET, make

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None:
        edns = query.edns or Edns(UDP_SIZE)
        there = any(code == self.code for code, _ in edns.options)
        wanted = {"append": not there, "replace": there, "unset": there}
        if not wanted.get(self.action, True):
            return None
        options = tuple(option for option in edns.options if option[0] != self.code)
        if self.action != "unset":
            options += ((self.code, self.make(query)),)
        return replace(query, edns=replace(edns, options=options)), None


_VARIABLES: dict[str, Callable[[Query], bytes]] = {
    "qname": lambda query: wire.to_text(query.name).encode(),
    "qtype": lambda query: query.qtype.to_bytes(2, "big"),
    "client_ip": lambda query: ip_address(str(query.client[0])).packed,
    "client_port": lambda query: int(query.client[1]).to_bytes(2, "big"),
    "protocol": lambda query: query.proto.encode(),
    "server_ip": lambda query: ip_address(str(query.local[0])).packed,
    "server_port": lambda query: int(query.local[1]).to_bytes(2, "big"),
}
