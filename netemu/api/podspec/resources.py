"""Rules for resource requests and limits.

https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from netemu.api import names, quantity
from netemu.api.invalid import forbidden, invalid, required
from netemu.api.kind import Cause, Object
from netemu.api.podspec.probes import NOT_NEGATIVE

_STANDARD = frozenset(("cpu", "memory", "ephemeral-storage"))
_KNOWN = frozenset(
    ("storage", "pods", "services", "secrets", "configmaps", "persistentvolumeclaims")
)
"""Standard resources that a container may not ask for."""


def check_resources(resources: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, amount in limits.items():
        causes += check_amount(name, amount, f"{path}.limits[{name}]")
    for name, amount in requests.items():
        wrong = check_amount(name, amount, f"{path}.requests[{name}]")
        causes += wrong
        if not wrong:
            causes += _check_against_limit(name, amount, limits, path)
    huge = any(name.startswith("hugepages-") for name in (*limits, *requests))
    if huge and not {"cpu", "memory"} & {*limits, *requests}:
        causes.append(forbidden(path, "HugePages require cpu or memory"))
    return causes


def _check_against_limit(name: str, amount: str, limits: Object, path: str) -> list[Cause]:
    overcommits = "/" not in name and not name.startswith("hugepages-")
    if name not in limits:
        if overcommits:
            return []
        message = "Limit must be set for non overcommitable resources"
        return [required(f"{path}.limits", message)]
    if not quantity.is_valid(limits[name]):
        return []
    asked, limit = quantity.parse(amount), quantity.parse(limits[name])
    if asked != limit and not overcommits:
        return [
            invalid(
                f"{path}.requests", str(amount), f"must be equal to {name} limit of {limits[name]}"
            )
        ]
    if asked > limit:
        message = f"must be less than or equal to {name} limit of {limits[name]}"
        return [invalid(f"{path}.requests", str(amount), message)]
    return []


def check_amount(name: str, amount: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if name not in _STANDARD:
        causes += [invalid(path, name, why) for why in names.qualified_name(name)]
        if "/" not in name and not name.startswith("hugepages-"):
            if name not in _KNOWN:
                message = "must be a standard resource type or fully qualified"
                causes.append(invalid(path, name, message))
            causes.append(invalid(path, name, "must be a standard resource for containers"))
    return causes + check_quantity(amount, path)


def check_quantity(amount: str, path: str) -> list[Cause]:
    """A quantity that must be readable and not negative."""
    try:
        value = quantity.parse(amount)
    except ValueError as problem:
        return [invalid(path, amount, str(problem))]
    return [] if value >= 0 else [invalid(path, str(amount), NOT_NEGATIVE)]


def check_positive(amount: str, path: str) -> list[Cause]:
    """A quantity of storage, which cannot be nothing."""
    try:
        value = quantity.parse(amount)
    except ValueError as problem:
        return [invalid(path, amount, str(problem))]
    return [] if value > 0 else [invalid(path, str(amount), "must be greater than zero")]
