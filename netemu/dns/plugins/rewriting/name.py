"""`rewrite name`: another question, and the answer turned back so that the client need not know.

    name [exact|prefix|suffix|substring|regex] FROM TO [answer auto | answer name|value FROM TO…]

With `exact` the answer is always turned back; otherwise `answer auto` does it, and `answer name`
and `answer value` (names in rdata) do it by regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from netemu.dns import names, wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Failure
from netemu.dns.plugins.rewriting.rule import Matcher, Respond, check_groups, fill, split_match
from netemu.dns.records import Record


@dataclass(frozen=True, slots=True)
class Answer:
    """`answer name` or `answer value`: names that match become others."""

    owners: bool
    pattern: re.Pattern[str]
    to: str

    def change(self, name: bytes) -> bytes:
        found = self.pattern.search(wire.to_text(name))
        if found is None:
            return name
        try:
            return wire.from_text(fill(self.to, found))
        except ValueError:
            return name


class NameRule:
    def __init__(self, line: Line, words: list[str], stop: bool) -> None:
        self.stop = stop
        how = split_match(words)
        if len(words) < 2:
            line.fail("name needs FROM and TO")
        self.matcher = Matcher(line, how, words[0])
        self.to = words[1].lower() if how != "regex" else words[1]
        if how in ("exact", "suffix") and not self.to.endswith("."):
            self.to += "."
        if how == "regex":
            check_groups(line, self.to, self.matcher.pattern)
        self.auto = how == "exact"
        self.answers = list(self._answers(line, words[2:]))

    def _answers(self, line: Line, words: list[str]) -> list[Answer]:
        found: list[Answer] = []
        while words:
            if words[:2] == ["answer", "auto"]:
                self.auto, words = True, words[2:]
            elif words[0] == "answer" and len(words) >= 4 and words[1] in ("name", "value"):
                try:
                    pattern = re.compile(words[2])
                except re.error as error:
                    line.fail(f"{words[2]!r} is not a regular expression: {error}")
                check_groups(line, words[3], pattern)
                found.append(Answer(words[1] == "name", pattern, words[3]))
                words = words[4:]
            else:
                line.fail("expected answer auto, answer name FROM TO or answer value FROM TO")
        return found

    def apply(self, query: Query) -> tuple[Query, Respond | None] | None:
        text = wire.to_text(query.name)
        if not self.matcher.matches_text(text):
            return None
        try:
            name = wire.from_text(self._replaced(text))
        except ValueError as error:
            raise Failure(f"rewrite: {error}") from None
        return query.ask(name, query.qtype), self._respond(query.asked, name)

    def _replaced(self, text: str) -> str:
        matcher = self.matcher
        if matcher.how == "exact":
            return self.to
        if matcher.how == "prefix":
            return self.to + text[len(matcher.text) :]
        if matcher.how == "suffix":
            return text[: len(text) - len(matcher.text)] + self.to
        if matcher.how == "substring":
            return text.replace(matcher.text, self.to)
        found = matcher.pattern.search(text)
        return fill(self.to, found) if found is not None else text

    def _respond(self, asked: bytes, name: bytes) -> Respond | None:
        if not self.auto and not self.answers:
            return None
        lower = name.lower()

        def back(found: bytes) -> bytes:
            return asked if self.auto and found.lower() == lower else found

        def owner(found: bytes) -> bytes:
            return _all(self.answers, True, back(found))

        def value(found: bytes) -> bytes:
            return _all(self.answers, False, back(found))

        def respond(query: Query, reply: Reply) -> None:
            for section in (reply.answer, reply.authority, reply.additional):
                section[:] = [_map(record, owner, value) for record in section]

        return respond


def _all(answers: list[Answer], owners: bool, name: bytes) -> bytes:
    for answer in answers:
        if answer.owners is owners:
            name = answer.change(name)
    return name


def _map(
    record: Record, owner: Callable[[bytes], bytes], value: Callable[[bytes], bytes]
) -> Record:
    return names.map_target(record._replace(name=owner(record.name)), value)
