"""How fast the number of replicas may move: stabilisation windows and rate policies. Pure.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_UP: dict[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 4, "periodSeconds": 15},
    ],
}
_DOWN: dict[str, Any] = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_LONGEST = 3600.0


@dataclass(slots=True, kw_only=True)
class History:
    """What was proposed and done lately, as (when, how much)."""

    proposals: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def forget_before(self, moment: float) -> None:
        self.proposals = [entry for entry in self.proposals if entry[0] > moment]
        self.changes = [entry for entry in self.changes if entry[0] > moment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    replicas: int
    stabilized: bool
    reason: str
    message: str
    limited: bool


def _rules(spec: Mapping[str, Any], side: str, default: Mapping[str, Any]) -> dict[str, Any]:
    given = (spec.get("behavior") or {}).get(side) or {}
    return {**default, **{key: value for key, value in given.items() if value is not None}}


def limit(
    spec: Mapping[str, Any], current: int, proposed: int, history: History, now: float
) -> Limited:
    """The replicas to go to now; notes the proposal in `history`."""
    up, down = _rules(spec, "scaleUp", _UP), _rules(spec, "scaleDown", _DOWN)
    history.forget_before(now - _LONGEST)
    history.proposals.append((now, proposed))
    stable = _stabilize(current, proposed, history.proposals, up, down, now)
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    if stable > current:
        rate, at_most = _rate(current, up, history.changes, now, growing=True), most
        allowed = min(stable, rate, at_most)
        reason, text = _why_up(stable, rate, at_most)
    elif stable < current:
        rate = _rate(current, down, history.changes, now, growing=False)
        allowed = max(stable, rate, least)
        reason, text = _why_down(stable, rate, least)
    else:
        allowed = min(max(stable, least), most)
        reason, text = _why_same(proposed, least, most)
    limited = reason != "DesiredWithinRange"
    return Limited(
        replicas=allowed,
        stabilized=stable != proposed,
        reason=reason,
        message=text,
        limited=limited,
    )


def _why_up(stable: int, rate: int, most: int) -> tuple[str, str]:
    if stable > most and most <= rate:
        return "TooManyReplicas", "the desired replica count is more than the maximum replica count"
    if stable > rate:
        text = "the desired replica count is increasing faster than the maximum scale rate"
        return "ScaleUpLimit", text
    return "DesiredWithinRange", "the desired count is within the acceptable range"


def _why_down(stable: int, rate: int, least: int) -> tuple[str, str]:
    if stable < least and least >= rate:
        return "TooFewReplicas", "the desired replica count is less than the minimum replica count"
    if stable < rate:
        text = "the desired replica count is decreasing faster than the maximum scale rate"
        return "ScaleDownLimit", text
    return "DesiredWithinRange", "the desired count is within the acceptable range"


def _why_same(proposed: int, least: int, most: int) -> tuple[str, str]:
    if proposed > most:
        return "TooManyReplicas", "the desired replica count is more than the maximum replica count"
    if proposed < least:
        return "TooFewReplicas", "the desired replica count is less than the minimum replica count"
    return "DesiredWithinRange", "the desired count is within the acceptable range"


def _stabilize(
    current: int,
    proposed: int,
    proposals: Sequence[tuple[float, int]],
    up: Mapping[str, Any],
    down: Mapping[str, Any],
    now: float,
) -> int:
    """No further up than all of the window agree to, and no further down."""

    def within(rules: Mapping[str, Any]) -> list[int]:
        since = now - float(rules["stabilizationWindowSeconds"])
        return [replicas for moment, replicas in proposals if moment > since] + [proposed]

    lowest, highest = min(within(up)), max(within(down))
    return (
        max(min(current, highest), lowest)
        if lowest > current
        else min(max(current, lowest), highest)
    )


def _rate(
    current: int,
    rules: Mapping[str, Any],
    changes: Sequence[tuple[float, int]],
    now: float,
    *,
    growing: bool,
) -> int:
    """The most (or least) replicas that the policies allow now."""
    if rules["selectPolicy"] == "Disabled":
        return current
    found: list[int] = []
    for policy in rules["policies"]:
        since = now - float(policy["periodSeconds"])
        done = sum(
            change for moment, change in changes if moment > since and (change > 0) == growing
        )
        start = current - done
        if policy["type"] == "Pods":
            found.append(start + policy["value"] if growing else start - policy["value"])
        elif growing:
            found.append(math.ceil(start * (1 + policy["value"] / 100)))
        else:
            found.append(math.floor(start * (1 - policy["value"] / 100)))
    # Max means the policy that moves furthest.
    return max(found) if growing == (rules["selectPolicy"] == "Max") else min(found)
