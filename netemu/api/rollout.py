"""Numbers or percentages (IntOrString) in rolling updates: reading and checking them.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
"""

from __future__ import annotations

import re
from typing import Any

from netemu.api.invalid import invalid
from netemu.api.kind import Cause

_PERCENT = re.compile("[0-9]+%")
_NOT_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
    "'93%', regex used for validation is '[0-9]+%')"
)


def scaled(value: int | str, total: int, *, round_up: bool) -> int:
    """`value` of `total`: as it is, or the percentage, rounded as asked."""
    if isinstance(value, int):
        return value
    parts = int(value.removesuffix("%")) * total
    return -(-parts // 100) if round_up else parts // 100


def check_amount(value: Any, path: str, *, at_most_all: bool = False) -> list[Cause]:
    """A count that is not negative, or a percentage (with `at_most_all`: up to 100%)."""
    if isinstance(value, int):
        if value >= 0:
            return []
        return [invalid(path, value, "must be greater than or equal to 0")]
    if not _PERCENT.fullmatch(value):
        return [invalid(path, value, _NOT_PERCENT)]
    if at_most_all and int(value[:-1]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def is_zero(value: Any) -> bool:
    return value in (0, None, "0%")
