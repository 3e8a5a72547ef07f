"""Numbers that may be percentages: maxSurge, maxUnavailable, minAvailable. Pure.

https://pkg.go.dev/k8s.io/apimachinery/pkg/util/intstr#GetScaledValueFromIntOrPercent
"""

from __future__ import annotations


def resolve(value: int | str | None, total: int, *, up: bool, default: int = 0) -> int:
    """`value` as a number; a percentage is taken of `total` and rounded `up` or down."""
    if value is None:
        return default
    if isinstance(value, int):
        return value
    text = value.strip()
    if not text.endswith("%"):
        return int(text)
    product = int(text[:-1]) * total
    return -(-product // 100) if up else product // 100
