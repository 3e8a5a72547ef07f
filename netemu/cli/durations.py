"""Go's durations on the command line: `30s`, `1m30s`, `0`; kubectl's `-1` for a very long time."""

from __future__ import annotations

import re
from typing import Any

import click

_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
WEEK = 7 * 24 * 3600.0


class Duration(click.ParamType[float]):
    """Seconds as float; a bare number counts seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value)
        if text.startswith("-"):
            return WEEK
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
        parts = _PARTS.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            self.fail(f"{text!r} is not a duration such as 30s or 1m30s", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


DURATION = Duration()
