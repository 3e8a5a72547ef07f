"""spec.successPolicy: an Indexed Job that has succeeded before all of its indexes have. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy
"""

from __future__ import annotations

from collections.abc import Collection

from netemu.api.kind import Object
from netemu.controllers.job import indexes


def matching_rule(job: Object, completed: Collection[int]) -> int | None:
    """The first rule that the completed indexes satisfy, by its number."""
    rules = (job["spec"].get("successPolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        if _is_met(rule, completed):
            return number
    return None


def _is_met(rule: Object, completed: Collection[int]) -> bool:
    count, named = rule.get("succeededCount"), rule.get("succeededIndexes")
    if named is None:
        return count is not None and len(completed) >= int(count)
    runs = indexes.runs(named)
    done = sum(any(first <= index <= last for first, last in runs) for index in completed)
    return done >= (sum(last - first + 1 for first, last in runs) if count is None else int(count))
