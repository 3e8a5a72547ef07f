"""LimitRange: defaults and bounds of what one container, pod or claim may ask for.

https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from netemu.api import quantity
from netemu.api.cells import CREATED, NAME
from netemu.api.invalid import duplicate, forbidden, invalid, required
from netemu.api.kind import Cause, Kind, Object
from netemu.api.podspec.resources import check_quantity

_SIDES = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_ORDER = (
    ("min", "max", "min", "min value {0} is greater than max value {1}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "min value {0} is greater than default request value {1}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "default request value {0} is greater than max value {1}",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "default request value {0} is greater than default limit value {1}",
    ),
    ("min", "default", "default", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "default value {0} is greater than max value {1}"),
)
"""(smaller, larger, the field that is blamed, how)."""


def _default(obj: Object) -> None:
    for limit in (obj.get("spec") or {}).get("limits") or ():
        if limit.get("type") != "Container":
            continue
        default = limit.setdefault("default", {})
        for name, amount in (limit.get("max") or {}).items():
            default.setdefault(name, amount)
        requests = limit.setdefault("defaultRequest", {})
        for source in (default, limit.get("min") or {}):
            for name, amount in source.items():
                requests.setdefault(name, amount)


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
        where = f"spec.limits[{index}]"
        kind = limit.get("type") or ""
        if kind in seen:
            causes.append(duplicate(f"{where}.type", kind))
        seen.add(kind)
        causes += _check_limit(limit, kind, where)
    return causes


def _check_limit(limit: Object, kind: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if kind == "Pod":
        causes += [
            forbidden(f"{path}.{side}", "may not be specified when `type` is 'Pod'")
            for side in ("default", "defaultRequest")
            if limit.get(side)
        ]
    if kind == "PersistentVolumeClaim" and not any(
        "storage" in (limit.get(side) or {}) for side in ("min", "max")
    ):
        message = "either minimum or maximum storage value is required, but neither was provided"
        causes.append(required(f"{path}.limits", message))
    for side in _SIDES:
        for name, amount in (limit.get(side) or {}).items():
            causes += check_quantity(amount, f"{path}.{side}[{name}]")
    readable = all(
        quantity.is_valid(amount) for side in _SIDES for amount in (limit.get(side) or {}).values()
    )
    return causes + (_check_order(limit, path) if readable else [])


def _check_order(limit: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for smaller, larger, blamed, message in _ORDER:
        low, high = limit.get(smaller) or {}, limit.get(larger) or {}
        for name in sorted(set(low) & set(high)):
            if quantity.parse(low[name]) > quantity.parse(high[name]):
                given = (limit.get(blamed) or {})[name]
                text = message.format(low[name], high[name])
                causes.append(invalid(f"{path}.{blamed}[{name}]", given, text))
    for name, ratio in (limit.get("maxLimitRequestRatio") or {}).items():
        if quantity.parse(ratio) < 1:
            where = f"{path}.maxLimitRequestRatio[{name}]"
            causes.append(invalid(where, ratio, f"ratio {ratio} is less than 1"))
    return causes


LIMIT_RANGES = Kind(
    plural="limitranges",
    kind="LimitRange",
    short_names=("limits",),
    schema="io.k8s.api.core.v1.LimitRange",
    default=_default,
    validate=_validate,
    columns=(NAME, CREATED),
)
