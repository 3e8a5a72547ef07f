"""errors: a line in the log for each query that could not be answered.

    errors {
        stacktrace
        consolidate DURATION REGEXP [LEVEL] [show_first]
    }

`consolidate` counts errors that match, and says their number once a DURATION. Without this plugin a
failed query is answered SERVFAIL and nothing is said. https://coredns.io/plugins/errors/
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from netemu.dns import wire
from netemu.dns.corefile import Line
from netemu.dns.message import Query, Reply
from netemu.dns.plugin import Block, Failure, Plugin, duration_of, duration_text

log = logging.getLogger(__name__)

_LEVELS = {
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


@dataclass(slots=True)
class Pattern:
    """One `consolidate`: what it matched since the last line."""

    period: float
    regexp: re.Pattern[str]
    level: int = logging.ERROR
    show_first: bool = False
    count: int = 0


class Errors(Plugin):
    name = "errors"

    def __init__(self, block: Block) -> None:
        self.runtime = block.runtime
        self.patterns: list[Pattern] = []

    async def serve(self, query: Query) -> Reply:
        try:
            return await self.next.serve(query)
        except Failure as failure:
            self._tell(query, failure)
            return Reply(failure.rcode)

    def _tell(self, query: Query, failure: Failure) -> None:
        name, kind = wire.to_text(query.name), wire.type_name(query.qtype)
        text = f"{failure.rcode} {name} {kind}: {failure}"
        for pattern in self.patterns:
            if pattern.regexp.search(str(failure)):
                pattern.count += 1
                if pattern.show_first and pattern.count == 1:
                    log.log(pattern.level, text)
                return
        log.error(text)

    async def run(self) -> None:
        """Say the consolidated numbers; each pattern in its own time."""
        due = {id(p): self.runtime.clock.monotonic() + p.period for p in self.patterns}
        while self.patterns:
            soonest = min(self.patterns, key=lambda p: due[id(p)])
            await self.runtime.clock.sleep(
                max(0.0, due[id(soonest)] - self.runtime.clock.monotonic())
            )
            self._summary(soonest)
            due[id(soonest)] = self.runtime.clock.monotonic() + soonest.period

    def _summary(self, pattern: Pattern) -> None:
        shown = 1 if pattern.show_first else 0
        if pattern.count > shown:
            log.log(
                pattern.level,
                f"{pattern.count - shown} errors like '{pattern.regexp.pattern}' occurred in last"
                f" {duration_text(pattern.period)}",
            )
        pattern.count = 0

    def close(self) -> None:
        for pattern in self.patterns:
            self._summary(pattern)


def setup(line: Line, block: Block) -> Plugin:
    plugin = Errors(block)
    for option in line.body:
        if option.name == "stacktrace":
            continue  # what no plugin raised on purpose always has its trace
        if option.name != "consolidate":
            option.fail("is not an option of errors; there are consolidate and stacktrace")
        plugin.patterns.append(_pattern(option))
    return plugin


def _pattern(option: Line) -> Pattern:
    words = list(option.args)
    if len(words) < 2:
        option.fail("needs a duration and a regular expression")
    try:
        pattern = Pattern(duration_of(option, words[0]), re.compile(words[1]))
    except re.error as error:
        option.fail(f"{words[1]!r} is not a regular expression: {error}")
    if pattern.period <= 0:
        option.fail("the duration must be more than 0")
    for word in words[2:]:
        if word == "show_first":
            pattern.show_first = True
        elif word in _LEVELS:
            pattern.level = _LEVELS[word]
        else:
            option.fail(f"{word!r} is neither a level ({', '.join(_LEVELS)}) nor show_first")
    return pattern
