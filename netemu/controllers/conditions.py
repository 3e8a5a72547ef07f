"""Status conditions as values: a list in, a list out. Pure.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Condition = dict[str, Any]


def find(conditions: Sequence[Condition], type_: str) -> Condition | None:
    return next((found for found in conditions if found["type"] == type_), None)


def without(conditions: Sequence[Condition], type_: str) -> list[Condition]:
    return [found for found in conditions if found["type"] != type_]


def with_condition(
    conditions: Sequence[Condition],
    type_: str,
    status: str,
    reason: str,
    message: str,
    stamp: str,
    *,
    update_time: bool = False,
) -> list[Condition]:
    """`conditions` with this one set; unchanged when status and reason are the same already.

    lastTransitionTime moves only with the status. `update_time`: the kind has lastUpdateTime too.
    """
    old = find(conditions, type_)
    if old is not None and old["status"] == status and old.get("reason") == reason:
        return list(conditions)
    new: Condition = {"type": type_, "status": status}
    if update_time:
        new["lastUpdateTime"] = stamp
    same = old is not None and old["status"] == status
    new["lastTransitionTime"] = (old or {}).get("lastTransitionTime", stamp) if same else stamp
    new |= {"reason": reason, "message": message}
    return [*without(conditions, type_), new]
