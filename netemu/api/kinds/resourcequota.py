"""ResourceQuota: how much all objects of a namespace may use together.

https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable

from netemu.api import names
from netemu.api.cells import AGE, NAME
from netemu.api.invalid import invalid
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import immutable
from netemu.api.podspec.resources import check_quantity

_SCOPES = frozenset(
    (
        "BestEffort",
        "NotBestEffort",
        "Terminating",
        "NotTerminating",
        "PriorityClass",
        "CrossNamespacePodAffinity",
        "VolumeAttributesClass",
    )
)
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})


def _amounts(amounts: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name, amount in amounts.items():
        where = f"{path}[{name}]"
        causes += [invalid(where, name, why) for why in names.qualified_name(name)]
        causes += check_quantity(amount, where)
    return causes


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _amounts(spec.get("hard") or {}, "spec.hard")
    scopes = spec.get("scopes") or []
    causes += [
        invalid("spec.scopes", scopes, "unsupported scope")
        for scope in scopes
        if scope not in _SCOPES
    ]
    causes += [
        invalid("spec.scopes", scopes, "conflicting scopes")
        for pair in _CONFLICTS
        if pair <= set(scopes)
    ]
    return causes + (immutable(obj, old, "scopes") if old is not None else [])


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    status = obj.get("status") or {}
    return _amounts(status.get("hard") or {}, "status.hard") + _amounts(
        status.get("used") or {}, "status.used"
    )


def _used(obj: Object, wanted: Iterable[str], limits: bool) -> str:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    return ", ".join(
        f"{name}: {used.get(name, '0')}/{hard[name]}"
        for name in sorted(wanted)
        if name.startswith("limits.") is limits
    )


def _column(name: str, limits: bool) -> Column:
    return Column(
        name,
        lambda obj, now: _used(obj, (obj.get("status") or {}).get("hard") or {}, limits),
    )


RESOURCE_QUOTAS = Kind(
    plural="resourcequotas",
    kind="ResourceQuota",
    short_names=("quota",),
    schema="io.k8s.api.core.v1.ResourceQuota",
    subresources=frozenset(("status",)),
    validate=_validate,
    validate_status=_validate_status,
    columns=(NAME, AGE, _column("Request", limits=False), _column("Limit", limits=True)),
)
