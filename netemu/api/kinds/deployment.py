"""Deployment: ReplicaSets that replace one another, a version each.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

from netemu.api.cells import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, integer
from netemu.api.invalid import forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object, ScalePaths
from netemu.api.objectrules import immutable, not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.template import check_status_counts, check_workload
from netemu.api.rollout import check_amount, is_zero

_STRATEGIES = ("Recreate", "RollingUpdate")


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for key, value in (
        ("replicas", 1),
        ("revisionHistoryLimit", 10),
        ("progressDeadlineSeconds", 600),
    ):
        if spec.get(key) is None:
            spec[key] = value
    strategy = spec.get("strategy")
    if strategy is None:
        strategy = spec["strategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            rolling = strategy["rollingUpdate"] = {}
        for key in ("maxUnavailable", "maxSurge"):
            if rolling.get(key) is None:
                rolling[key] = "25%"
    default_template(spec.setdefault("template", {}))


def prepare_empty(obj: Object, old: Object | None) -> None:
    """A status that is there, and empty."""
    if old is None:
        obj["status"] = {}


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = not_negative(
        spec,
        "spec",
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    )
    causes += check_workload(spec, "Deployment")
    causes += _check_strategy(spec.get("strategy") or {})
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and 0 <= deadline <= ready:
        message = "must be greater than minReadySeconds"
        causes.append(invalid("spec.progressDeadlineSeconds", deadline, message))
    return causes + (immutable(obj, old, "selector") if old is not None else [])


def _check_strategy(strategy: Object) -> list[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    where = "spec.strategy.rollingUpdate"
    if kind not in _STRATEGIES:
        return [not_supported("spec.strategy", kind or "", _STRATEGIES)]
    if kind == "Recreate":
        if rolling is None:
            return []
        message = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(where, message)]
    if rolling is None:
        return [required(where, "this should be defaulted and never be nil")]
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    causes = check_amount(unavailable, f"{where}.maxUnavailable", at_most_all=True)
    causes += check_amount(surge, f"{where}.maxSurge")
    if not causes and is_zero(unavailable) and is_zero(surge):
        message = "may not be 0 when `maxSurge` is 0"
        causes.append(invalid(f"{where}.maxUnavailable", unavailable, message))
    return causes


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    return check_status_counts(obj.get("status") or {})


def ready(obj: Object, now: float = 0) -> str:
    """`2/3`, for workloads that show so."""
    wanted = (obj.get("spec") or {}).get("replicas")
    count = (obj.get("status") or {}).get("readyReplicas") or 0
    return f"{count}/{1 if wanted is None else wanted}"


DEPLOYMENTS = Kind(
    group="apps",
    plural="deployments",
    kind="Deployment",
    short_names=("deploy",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.Deployment",
    subresources=frozenset(("scale", "status")),
    scale=ScalePaths(),
    has_generation=True,
    default=_default,
    prepare=prepare_empty,
    validate=_validate,
    validate_status=_validate_status,
    columns=(
        NAME,
        Column("Ready", ready, description="Number of the pod with ready state"),
        integer("Up-to-date", "status", "updatedReplicas"),
        integer("Available", "status", "availableReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
