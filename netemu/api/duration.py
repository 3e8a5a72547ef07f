"""Times for people: the AGE column.

https://github.com/kubernetes/apimachinery/blob/master/pkg/util/duration/duration.go
"""

from __future__ import annotations

from netemu.api import meta


def human(seconds: float) -> str:
    """`42s`, `3m10s`, `2h`, `5d3h`, `2y10d`: at most two units, coarser the longer it is."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 60 * 2:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 60 * 3:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return _two(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    if hours < 24 * 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(coarse: int, coarse_unit: str, fine: int, fine_unit: str) -> str:
    return f"{coarse}{coarse_unit}{fine}{fine_unit}" if fine else f"{coarse}{coarse_unit}"


def since(stamp: str | None, now: float) -> str:
    """The time since a metav1.Time; `<unknown>` when there is none."""
    return human(now - meta.seconds_of(stamp)) if stamp else "<unknown>"
