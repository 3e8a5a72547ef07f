"""The words of a Corefile, each with its file and line.

https://github.com/coredns/caddy/blob/master/caddyfile/lexer.go
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netemu.errors import ConfigError


class Place(NamedTuple):
    """A line of a file."""

    source: str
    number: int

    def __str__(self) -> str:
        return f"{self.source}:{self.number}"


class Token(NamedTuple):
    text: str
    place: Place
    quoted: bool = False


_VARIABLE = re.compile(r"\{\$(\w+)\}|\{%(\w+)%\}")


def tokens(text: str, source: str, environment: Mapping[str, str]) -> Iterator[Token]:
    """The words of a Corefile; raises ConfigError for a string without an end."""
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
                yield Token(value, Place(source, number), True)
                at = end
            else:
                end = at
                while end < len(line) and not line[end].isspace():
                    end += 1
                yield Token(line[at:end], Place(source, number))
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
