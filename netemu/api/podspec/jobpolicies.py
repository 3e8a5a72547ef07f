"""The rules for a Job's policies: what a failed pod means, when enough have succeeded.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy
"""

from __future__ import annotations

from itertools import pairwise

from netemu.api import names
from netemu.api.invalid import (
    duplicate,
    invalid,
    not_supported,
    required,
    show,
    too_long,
    too_many,
)
from netemu.api.kind import Cause, Object
from netemu.api.objectrules import not_negative

_MOST_RULES = 20
_MOST_CODES = 255
_LONGEST_INDEXES = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")


def check_failure_policy(spec: Object, path: str) -> list[Cause]:
    """`spec.podFailurePolicy` at `path`."""
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    where = f"{path}.rules"
    causes = [too_many(where, len(rules), _MOST_RULES)] if len(rules) > _MOST_RULES else []
    template = (spec.get("template") or {}).get("spec") or {}
    known = {
        container.get("name")
        for field in ("containers", "initContainers")
        for container in template.get(field) or ()
    }
    for index, rule in enumerate(rules):
        causes += _check_rule(spec, rule, f"{where}[{index}]", known)
    return causes


def _check_rule(spec: Object, rule: Object, path: str, known: set[str | None]) -> list[Cause]:
    action, causes = rule.get("action"), []
    if not action:
        causes.append(required(f"{path}.action", _valid(_ACTIONS)))
    elif action not in _ACTIONS:
        causes.append(not_supported(f"{path}.action", action, _ACTIONS))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        text = "requires the backoffLimitPerIndex to be set"
        causes.append(invalid(f"{path}.action", action, text))
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if codes is not None:
        causes += _check_codes(codes, f"{path}.onExitCodes", known)
    causes += _check_conditions(conditions, f"{path}.onPodConditions")
    if (codes is not None) == bool(conditions):
        both = "specifying both OnExitCodes and OnPodConditions is not supported"
        none = "specifying one of OnExitCodes and OnPodConditions is required"
        text = f"Invalid value: {both if conditions else none}"
        causes.append(Cause(path, "FieldValueInvalid", text))
    return causes


def _check_codes(codes: Object, path: str, known: set[str | None]) -> list[Cause]:
    causes = _check_word(codes.get("operator"), _OPERATORS, f"{path}.operator")
    container, values = codes.get("containerName"), codes.get("values") or []
    if container is not None and container not in known:
        text = "must be one of the container or initContainer names in the pod template"
        causes.append(invalid(f"{path}.containerName", container, text))
    where = f"{path}.values"
    if not values:
        causes.append(invalid(where, values, "at least one value is required"))
    if len(values) > _MOST_CODES:
        causes.append(too_many(where, len(values), _MOST_CODES))
    seen: set[int] = set()
    for index, value in enumerate(values):
        if value == 0 and codes.get("operator") == "In":
            causes.append(invalid(f"{where}[{index}]", 0, "must not be 0 for the In operator"))
        if value in seen:
            causes.append(duplicate(f"{where}[{index}]", value))
        seen.add(value)
    if any(left > right for left, right in pairwise(values)):
        causes.append(invalid(where, values, "must be ordered"))
    return causes


def _check_conditions(conditions: list[Object] | tuple[()], path: str) -> list[Cause]:
    most = _MOST_RULES
    causes = [too_many(path, len(conditions), most)] if len(conditions) > most else []
    for index, pattern in enumerate(conditions):
        where, kind = f"{path}[{index}]", pattern.get("type") or ""
        causes += [invalid(f"{where}.type", kind, why) for why in names.qualified_name(kind)]
        causes += _check_word(pattern.get("status"), _STATUSES, f"{where}.status")
    return causes


def _check_word(word: str | None, known: tuple[str, ...], path: str) -> list[Cause]:
    if not word:
        return [required(path, _valid(known))]
    return [] if word in known else [not_supported(path, word, known)]


def _valid(words: tuple[str, ...]) -> str:
    return f"valid values: [{' '.join(map(show, words))}]"


def check_success_policy(spec: Object, path: str) -> list[Cause]:
    """`spec.successPolicy` at `path`; only Indexed Jobs have one."""
    policy = spec["successPolicy"]
    if spec.get("completionMode") != "Indexed":
        return [invalid(path, policy, "requires indexed completion mode")]
    rules, where = policy.get("rules") or (), f"{path}.rules"
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        return [required(where, text)]
    causes = [too_many(where, len(rules), _MOST_RULES)] if len(rules) > _MOST_RULES else []
    for index, rule in enumerate(rules):
        causes += _check_success(rule, int(spec.get("completions") or 0), f"{where}[{index}]")
    return causes


def _check_success(rule: Object, completions: int, path: str) -> list[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        return [required(path, text)]
    causes = not_negative(rule, path, "succeededCount")
    total: int | str = completions
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        total = count_indexes(indexes, completions)
        if len(indexes) > _LONGEST_INDEXES:
            causes.append(too_long(where, _LONGEST_INDEXES))
        if isinstance(total, str):
            causes.append(invalid(where, indexes, f"error parsing succeededIndexes: {total}"))
    if count is not None and count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        causes.append(invalid(f"{path}.succeededCount", count, text))
    elif count is not None and isinstance(total, int) and count > total:
        text = f"must be less than or equal to {total} "
        text += "(the number of indexes in the specified succeededIndexes field)"
        causes.append(invalid(f"{path}.succeededCount", count, text))
    return causes


def count_indexes(text: str, completions: int) -> int | str:
    """How many indexes `1,3-5` names; or what is wrong with it, as a text."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            text = "violates the requirement that an index interval can have at most two parts"
            return f"the fragment {show(part)} {text} separated by '-'"
        for end in ends:
            if not (end.isascii() and end.isdigit()):
                return f"cannot convert string to integer for index: {show(end)}"
            if int(end) >= completions:
                return f"too large index: {show(end)}"
        first, to = int(ends[0]), int(ends[-1])
        if first <= last:
            return f"non-increasing order, previous: {last}, current: {first}"
        if len(ends) == 2 and to <= first:
            return f"non-increasing order, previous: {first}, current: {to}"
        total, last = total + to - first + 1, to
    return total
