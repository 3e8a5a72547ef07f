"""How deep JSON values nest: more than anybody means costs stack wherever an object is walked."""

from __future__ import annotations

from typing import Any

DEEPEST = 200
"""Levels that an object may have. Schemas of custom resources, the deepest there are, have 60."""


def is_too_deep(value: Any) -> bool:
    """Whether `value` has more than `DEEPEST` levels of objects and arrays."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
