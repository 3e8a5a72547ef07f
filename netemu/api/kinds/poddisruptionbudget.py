"""PodDisruptionBudget: how many pods an eviction has to leave.

https://kubernetes.io/docs/tasks/run-application/configure-pdb/
"""

from __future__ import annotations

from netemu.api.cells import AGE, NAME, integer
from netemu.api.invalid import invalid, not_supported
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.labelrules import check_label_selector
from netemu.api.objectrules import not_negative
from netemu.api.rollout import check_amount

_POLICIES = ("IfHealthyBudget", "AlwaysAllow")


_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = dict.fromkeys(_COUNTS, 0)


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        message = "minAvailable and maxUnavailable cannot be both set"
        causes.append(invalid("spec", spec, message))
    for key in ("minAvailable", "maxUnavailable"):
        if spec.get(key) is not None:
            causes += check_amount(spec[key], f"spec.{key}", at_most_all=True)
    if spec.get("selector") is not None:
        causes += check_label_selector(spec["selector"], "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _POLICIES:
        causes.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES))
    return causes


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    return not_negative(obj.get("status") or {}, "status", *_COUNTS)


def _amount(name: str, key: str) -> Column:
    def cell(obj: Object, now: float) -> str:
        value = (obj.get("spec") or {}).get(key)
        return "N/A" if value is None else str(value)

    return Column(name, cell)


POD_DISRUPTION_BUDGETS = Kind(
    group="policy",
    plural="poddisruptionbudgets",
    kind="PodDisruptionBudget",
    short_names=("pdb",),
    schema="io.k8s.api.policy.v1.PodDisruptionBudget",
    unconditional_update=False,
    subresources=frozenset(("status",)),
    has_generation=True,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    columns=(
        NAME,
        _amount("Min Available", "minAvailable"),
        _amount("Max Unavailable", "maxUnavailable"),
        integer("Allowed Disruptions", "status", "disruptionsAllowed"),
        AGE,
    ),
)
