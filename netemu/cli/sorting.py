"""`--sort-by`: the order of values that a JSONPath finds."""

from __future__ import annotations

import re
from typing import Any

from netemu.api.resource import Object
from netemu.cli.jsonpath import find

_NUMBERS = re.compile(r"(\d+)")


def sort_key(path: str, obj: Object) -> tuple[int, Any]:
    """Missing values first, then numbers, then text with numbers in it in natural order."""
    bare = path.strip().removeprefix("{").removesuffix("}")
    values = find(bare if bare.startswith((".", "[")) else f".{bare}", obj)
    if not values or values[0] is None:
        return (0, 0)
    value = values[0]
    if isinstance(value, int | float):
        return (1, value)
    parts = _NUMBERS.split(str(value))
    return (2, [(int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts)])
