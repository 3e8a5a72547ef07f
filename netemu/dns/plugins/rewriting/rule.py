"""What a rewrite rule is, and how it matches names.

Names are matched as text, lower case, with the final dot, as in CoreDNS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply

MATCHES = ("exact", "prefix", "suffix", "substring", "regex")

Respond = Callable[[Query, Reply], None]
"""Changes a reply on its way back; gets the query as the client sent it."""


class Rule(Protocol):
    """`apply` gives the changed query and what to do with its reply; None: it does not match."""

    stop: bool

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None: ...


class Matcher:
    """Matches names in one of the five ways."""

    def __init__(self, line: Line, how: str, text: str) -> None:
        self.how = how
        self.text = text.lower() if how != "regex" else text
        if how == "exact":
            self.text = f"{self.text.removesuffix('.')}."
        elif how == "suffix" and not self.text.endswith("."):
            self.text += "."
        try:
            self.pattern = re.compile(text if how == "regex" else "")
        except re.error as error:
            line.fail(f"{text!r} is not a regular expression: {error}")

    def matches(self, query: Query) -> bool:
        return self.matches_text(wire.to_text(query.name))

    def matches_text(self, name: str) -> bool:
        if self.how == "exact":
            return name == self.text
        if self.how == "prefix":
            return name.startswith(self.text)
        if self.how == "suffix":
            return name.endswith(self.text)
        if self.how == "substring":
            return self.text in name
        return self.pattern.search(name) is not None


def split_match(words: list[str]) -> str:
    """Take the way of matching off the front of `words`; exact when none is given."""
    return words.pop(0) if words and words[0] in MATCHES else "exact"


def fill(template: str, found: re.Match[str]) -> str:
    """`{0}`, `{1}` … replaced by the groups of a match."""
    for number in range(len(found.groups()) + 1):
        template = template.replace(f"{{{number}}}", found[number] or "")
    return template


def check_groups(line: Line, template: str, pattern: re.Pattern[str]) -> None:
    used = [int(number) for number in re.findall(r"\{(\d+)\}", template)]
    if used and max(used) > pattern.groups:
        line.fail(f"{template!r} names a group that {pattern.pattern!r} does not have")
