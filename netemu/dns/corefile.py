"""The Corefile, in CoreDNS's own syntax (the Caddyfile's): server blocks of directives.

    .:53 {
        kubernetes cluster.local in-addr.arpa ip6.arpa {
            pods insecure
        }
        forward . /etc/resolv.conf
    }

Tokens end at white space; `"…"` holds spaces, with `\\"` for a quote; `#` begins a comment;
`{$NAME}` and `{%NAME%}` are environment variables; `(name) { … }` is a snippet for `import name`,
and `import PATTERN` takes files in.
The order of directives means nothing, as in CoreDNS: plugins have a fixed one.
https://coredns.io/manual/configuration/
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import NamedTuple, NoReturn

from netemu.dns import wire
from netemu.dns.tokens import Place, Token, tokens
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
MAX_IMPORTS = 100

Files = Callable[[str], Sequence[tuple[str, str]]]
"""The files that a path or a shell pattern means, as (name, text)."""


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
    place: Place

    def directive(self, name: str) -> Line | None:
        return next((line for line in self.directives if line.name == name), None)


def parse(
    text: str,
    *,
    source: str = "Corefile",
    default_port: int = 53,
    environment: Mapping[str, str] | None = None,
    files: Files | None = None,
) -> tuple[ServerBlock, ...]:
    """The server blocks of a Corefile; raises ConfigError with file and line.

    `files` gives the files that `import PATTERN` means.
    """
    if len(text) > MAX_SIZE:
        raise ConfigError([f"{source}: larger than {MAX_SIZE} octets"])
    variables = os.environ if environment is None else environment
    reader = _Reader(list(tokens(text, source, variables)), variables, files)
    blocks = []
    while reader.at_block():
        names, place = reader.keys()
        body = reader.body(0) if reader.opens() else reader.rest()
        if len(names) == 1 and names[0].startswith("(") and names[0].endswith(")"):
            reader.snippets[names[0][1:-1]] = body
            continue
        keys = tuple(k for name in names for k in _keys(name, default_port, place))
        blocks.append(ServerBlock(keys, body, place))
    _refuse_twins(blocks)
    return tuple(blocks)


def _refuse_twins(blocks: list[ServerBlock]) -> None:
    seen: dict[Key, Place] = {}
    for block in blocks:
        for key in block.keys:
            if key in seen:
                raise ConfigError(
                    [
                        f"{block.place}: cannot serve {wire.to_text(key.zone)} on port"
                        f" {key.port}: line {seen[key].number} already does"
                    ]
                )
            seen[key] = block.place


@dataclass
class _Reader:
    tokens: list[Token]
    environment: Mapping[str, str]
    files: Files | None
    at: int = 0
    imported: int = 0
    snippets: dict[str, tuple[Line, ...]] = field(default_factory=dict)

    def at_end(self) -> bool:
        return self.at >= len(self.tokens)

    def at_block(self) -> bool:
        """Whether another server block follows; files that stand here by `import` are put in."""
        while not self.at_end() and self._is("import"):
            place = self.tokens[self.at].place
            words = [token.text for token in self._line_tokens()]
            del self.tokens[self.at : self.at + len(words)]
            self._splice(words, place)
        return not self.at_end()

    def opens(self) -> bool:
        return not self.at_end() and self._is("{")

    def keys(self) -> tuple[list[str], Place]:
        """The keys in front of a server block: up to `{`, or to the end of the line."""
        place = self.tokens[self.at].place
        names: list[str] = []
        goes_on = True
        while not self.at_end() and not self._is("{"):
            token = self.tokens[self.at]
            if token.place != place and not goes_on:
                break
            place = token.place
            goes_on = token.text.endswith(",")
            if self._is("}"):
                _fail(token.place, "unexpected }")
            names += [name for name in token.text.split(",") if name]
            self.at += 1
        if not names:
            _fail(place, "a server block needs a zone in front of {")
        return names, place

    def body(self, depth: int) -> tuple[Line, ...]:
        """The lines between braces; stands at `{`."""
        opened = self.tokens[self.at].place
        if depth > MAX_DEPTH:
            _fail(opened, "blocks are nested too deep")
        self.at += 1
        lines: list[Line] = []
        while not self.at_end():
            if self._is("}"):
                self.at += 1
                return tuple(lines)
            lines += self._line(depth)
        _fail(opened, "the { of this line is never closed")

    def rest(self) -> tuple[Line, ...]:
        """The one server block of a file without braces."""
        lines: list[Line] = []
        while not self.at_end():
            if self._is("}"):
                _fail(self.tokens[self.at].place, "unexpected }")
            lines += self._line(0)
        return tuple(lines)

    def _line(self, depth: int) -> list[Line]:
        place = self.tokens[self.at].place
        words: list[str] = []
        body: tuple[Line, ...] = ()
        while not self.at_end() and self.tokens[self.at].place == place:
            last = self.at + 1 >= len(self.tokens) or self.tokens[self.at + 1].place != place
            if self._is("{") and last and words:
                body = self.body(depth + 1)
                break
            if self._is("}"):
                break
            words.append(self.tokens[self.at].text)
            self.at += 1
        if words and words[0] == "import":
            if len(words) == 2 and words[1] in self.snippets:
                return list(self.snippets[words[1]])
            self._splice(words, place)
            return []
        if not words:
            _fail(place, "unexpected {")
        return [Line(tuple(words), body, place.number, place.source)]

    def _line_tokens(self) -> list[Token]:
        place = self.tokens[self.at].place
        end = self.at
        while end < len(self.tokens) and self.tokens[end].place == place:
            end += 1
        return self.tokens[self.at : end]

    def _splice(self, words: list[str], place: Place) -> None:
        """Put the words of the files that are meant where `import` stood."""
        if len(words) != 2:
            _fail(place, "import takes the name of one snippet, or of files")
        found = self.files(words[1]) if self.files is not None else []
        if not found and not set("*?[") & set(words[1]):
            _fail(place, f"import: there is no snippet ({words[1]}) above this line, and no file")
        self.imported += 1
        if self.imported > MAX_IMPORTS:
            _fail(place, "import: files import each other")
        self.tokens[self.at : self.at] = [
            token for name, text in found for token in tokens(text, name, self.environment)
        ]

    def _is(self, text: str) -> bool:
        token = self.tokens[self.at]
        return token.text == text and not token.quoted


def _fail(place: Place, why: str) -> NoReturn:
    raise ConfigError([f"{place}: {why}"])


def _keys(name: str, default_port: int, place: Place) -> list[Key]:
    scheme, separator, rest = name.rpartition("://")
    if separator and scheme != "dns":
        _fail(place, f"{scheme}:// is not served here; only dns:// (UDP and TCP) is")
    host, port = rest, default_port
    before, colon, after = rest.rpartition(":")
    if colon and after.isdigit():
        host, port = before or ".", int(after)
    if not 0 <= port < 65536:
        _fail(place, f"port {port} is out of range")
    try:
        return [Key(zone, port) for zone in zones(host)]
    except ValueError as error:
        _fail(place, f"{name!r} is not a zone: {error}")


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
