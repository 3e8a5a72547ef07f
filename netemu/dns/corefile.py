"""The Corefile, in CoreDNS's own syntax (the Caddyfile's): server blocks of directives.

    .:53 {
        kubernetes cluster.local in-addr.arpa ip6.arpa {
            pods insecure
        }
        forward . /etc/resolv.conf
    }

Tokens end at white space; `"…"` holds spaces, with `\\"` for a quote; `#` begins a comment;
`{$NAME}` and `{%NAME%}` are environment variables; `(name) { … }` is a snippet for `import name`.
The order of directives means nothing, as in CoreDNS: plugins have a fixed one.
https://coredns.io/manual/configuration/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import NamedTuple, NoReturn

from netemu.dns import wire
from netemu.errors import ConfigError

KUBEADM = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""
"""What kubeadm writes into kube-system/coredns."""

STANDALONE = """\
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loadbalance
}
"""
"""The same without what needs ports of its own or a ConfigMap: the default of `dns serve`."""

MAX_SIZE = 1 << 20
MAX_DEPTH = 16


class Token(NamedTuple):
    text: str
    line: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A directive, or a line of its body: words, and the lines between its braces."""

    words: tuple[str, ...]
    body: tuple[Line, ...]
    number: int
    source: str = "Corefile"

    @property
    def name(self) -> str:
        return self.words[0]

    @property
    def args(self) -> tuple[str, ...]:
        return self.words[1:]

    def fail(self, why: str) -> NoReturn:
        raise ConfigError([f"{self.source}:{self.number}: {self.name}: {why}"])

    def no_body(self) -> None:
        if self.body:
            self.fail("takes no block")


class Key(NamedTuple):
    """One key of a server block: a zone (wire, lower case) on a port."""

    zone: bytes
    port: int


@dataclass(frozen=True, slots=True)
class ServerBlock:
    keys: tuple[Key, ...]
    directives: tuple[Line, ...]
    number: int = 0

    def directive(self, name: str) -> Line | None:
        return next((line for line in self.directives if line.name == name), None)


def parse(
    text: str,
    *,
    source: str = "Corefile",
    default_port: int = 53,
    environment: Mapping[str, str] | None = None,
) -> tuple[ServerBlock, ...]:
    """The server blocks of a Corefile; raises ConfigError with file and line."""
    if len(text) > MAX_SIZE:
        raise ConfigError([f"{source}: larger than {MAX_SIZE} octets"])
    tokens = _tokens(text, source, os.environ if environment is None else environment)
    reader = _Reader(list(tokens), source)
    blocks = []
    while not reader.at_end():
        names, line = reader.keys()
        body = reader.body(0) if reader.opens() else reader.rest()
        if len(names) == 1 and names[0].startswith("(") and names[0].endswith(")"):
            reader.snippets[names[0][1:-1]] = body
            continue
        keys = tuple(k for name in names for k in _keys(name, default_port, source, line))
        blocks.append(ServerBlock(keys, body, line))
    _refuse_twins(blocks, source)
    return tuple(blocks)


def _refuse_twins(blocks: list[ServerBlock], source: str) -> None:
    seen: dict[Key, int] = {}
    for block in blocks:
        for key in block.keys:
            if key in seen:
                raise ConfigError(
                    [
                        f"{source}:{block.number}: cannot serve {wire.to_text(key.zone)} on port"
                        f" {key.port}: line {seen[key]} already does"
                    ]
                )
            seen[key] = block.number


_VARIABLE = re.compile(r"\{\$(\w+)\}|\{%(\w+)%\}")


def _tokens(text: str, source: str, environment: Mapping[str, str]) -> Iterator[Token]:
    text = _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), text)
    for number, line in _logical_lines(text, source):
        at = 0
        while at < len(line):
            char = line[at]
            if char.isspace():
                at += 1
            elif char == "#":
                break
            elif char == '"':
                end, value = _quoted(line, at + 1, source, number)
                yield Token(value, number, True)
                at = end
            else:
                end = at
                while end < len(line) and not line[end].isspace():
                    end += 1
                yield Token(line[at:end], number)
                at = end


def _logical_lines(text: str, source: str) -> Iterator[tuple[int, str]]:
    """Lines; one whose quotes are open takes the next ones in."""
    held, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        held, first = (f"{held}\n{line}", first) if held else (line, number)
        if _balanced(held):
            yield first, held
            held = ""
    if held:
        raise ConfigError([f"{source}:{first}: a quoted string has no end"])


def _balanced(line: str) -> bool:
    at, inside, fresh = 0, False, True
    while at < len(line):
        char = line[at]
        if inside:
            at += char == "\\"
            inside = char != '"'
        elif char == '"' and fresh:
            inside = True
        elif char == "#" and fresh:
            return True
        fresh = char.isspace() or (fresh and inside)
        at += 1
    return not inside


def _quoted(line: str, at: int, source: str, number: int) -> tuple[int, str]:
    value = []
    while at < len(line):
        if line[at] == "\\" and line[at + 1 : at + 2] == '"':
            value.append('"')
            at += 2
        elif line[at] == '"':
            return at + 1, "".join(value)
        else:
            value.append(line[at])
            at += 1
    raise ConfigError([f"{source}:{number}: a quoted string has no end"])


@dataclass
class _Reader:
    tokens: list[Token]
    source: str
    at: int = 0
    snippets: dict[str, tuple[Line, ...]] = field(default_factory=dict)

    def at_end(self) -> bool:
        return self.at >= len(self.tokens)

    def opens(self) -> bool:
        return not self.at_end() and self._is("{")

    def keys(self) -> tuple[list[str], int]:
        """The keys in front of a server block: up to `{`, or to the end of the line."""
        line = self.tokens[self.at].line
        names: list[str] = []
        goes_on = True
        while not self.at_end() and not self._is("{"):
            token = self.tokens[self.at]
            if token.line != line and not goes_on:
                break
            line = token.line
            goes_on = token.text.endswith(",")
            if self._is("}"):
                self._fail(token.line, "unexpected }")
            names += [name for name in token.text.split(",") if name]
            self.at += 1
        if not names:
            self._fail(line, "a server block needs a zone in front of {")
        return names, line

    def body(self, depth: int) -> tuple[Line, ...]:
        """The lines between braces; stands at `{`."""
        opened = self.tokens[self.at].line
        if depth > MAX_DEPTH:
            self._fail(opened, "blocks are nested too deep")
        self.at += 1
        lines: list[Line] = []
        while not self.at_end():
            if self._is("}"):
                self.at += 1
                return tuple(lines)
            lines += self._line(depth)
        self._fail(opened, "the { of this line is never closed")

    def rest(self) -> tuple[Line, ...]:
        """The one server block of a file without braces."""
        lines: list[Line] = []
        while not self.at_end():
            if self._is("}"):
                self._fail(self.tokens[self.at].line, "unexpected }")
            lines += self._line(0)
        return tuple(lines)

    def _line(self, depth: int) -> list[Line]:
        number = self.tokens[self.at].line
        words: list[str] = []
        body: tuple[Line, ...] = ()
        while not self.at_end() and self.tokens[self.at].line == number:
            last = self.at + 1 >= len(self.tokens) or self.tokens[self.at + 1].line != number
            if self._is("{") and last and words:
                body = self.body(depth + 1)
                break
            if self._is("}"):
                break
            words.append(self.tokens[self.at].text)
            self.at += 1
        if words and words[0] == "import":
            return self._imported(words, number)
        if not words:
            self._fail(number, "unexpected {")
        return [Line(tuple(words), body, number, self.source)]

    def _imported(self, words: list[str], number: int) -> list[Line]:
        if len(words) != 2:
            self._fail(number, "import takes the name of one snippet")
        if words[1] not in self.snippets:
            self._fail(number, f"import: there is no snippet ({words[1]}) above this line")
        return list(self.snippets[words[1]])

    def _is(self, text: str) -> bool:
        token = self.tokens[self.at]
        return token.text == text and not token.quoted

    def _fail(self, line: int, why: str) -> NoReturn:
        raise ConfigError([f"{self.source}:{line}: {why}"])


def _keys(name: str, default_port: int, source: str, line: int) -> list[Key]:
    scheme, separator, rest = name.rpartition("://")
    if separator and scheme != "dns":
        raise ConfigError(
            [f"{source}:{line}: {scheme}:// is not served here; only dns:// (UDP and TCP) is"]
        )
    host, port = rest, default_port
    before, colon, after = rest.rpartition(":")
    if colon and after.isdigit():
        host, port = before or ".", int(after)
    if not 0 <= port < 65536:
        raise ConfigError([f"{source}:{line}: port {port} is out of range"])
    try:
        return [Key(zone, port) for zone in zones(host)]
    except ValueError as error:
        raise ConfigError([f"{source}:{line}: {name!r} is not a zone: {error}"]) from None


def zones(text: str) -> list[bytes]:
    """The wire names of a zone; a CIDR such as 10.96.0.0/12 stands for its reverse zones."""
    if "/" not in text:
        return [wire.from_text(text).lower()]
    network = ip_network(text, strict=False)
    step = 8 if network.version == 4 else 4
    longer = -(-network.prefixlen // step) * step
    found = []
    for part in network.subnets(new_prefix=longer):
        kept = part.prefixlen // step
        full = part.network_address.reverse_pointer.split(".")
        found.append(wire.from_text(".".join(full[len(full) - 2 - kept :])))
    return found
