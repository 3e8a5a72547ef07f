"""DaemonSet: a pod on each node that fits, also where ordinary pods may not go.

https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

from netemu.api import cells
from netemu.api.cells import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, integer
from netemu.api.invalid import invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import immutable, not_negative
from netemu.api.podspec.defaults import default_template
from netemu.api.podspec.template import check_workload
from netemu.api.rollout import check_amount, is_zero

_COUNTS = (
    "currentNumberScheduled",
    "desiredNumberScheduled",
    "numberMisscheduled",
    "numberReady",
)
"""Counts that a status always has."""


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    strategy = spec.get("updateStrategy")
    if strategy is None:
        strategy = spec["updateStrategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            rolling = strategy["rollingUpdate"] = {}
        for key, value in (("maxUnavailable", 1), ("maxSurge", 0)):
            if rolling.get(key) is None:
                rolling[key] = value
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    default_template(spec.setdefault("template", {}))


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = dict.fromkeys(_COUNTS, 0)


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = check_workload(spec, "DaemonSet", needs_selector=False)
    causes += not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    causes += _check_strategy(spec.get("updateStrategy") or {})
    return causes + (immutable(obj, old, "selector") if old is not None else [])


def _check_strategy(strategy: Object) -> list[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    where = "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [not_supported("spec.updateStrategy", kind or "", ("RollingUpdate", "OnDelete"))]
    if rolling is None:
        return [required(where)]
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    causes = check_amount(unavailable, f"{where}.maxUnavailable", at_most_all=True)
    causes += check_amount(surge, f"{where}.maxSurge", at_most_all=True)
    if causes:
        return causes
    if not is_zero(unavailable) and not is_zero(surge):
        message = "may not be set when maxUnavailable is non-zero"
        causes.append(invalid(f"{where}.maxSurge", surge, message))
    elif is_zero(unavailable) and is_zero(surge):
        message = "cannot be 0 when maxSurge is 0"
        causes.append(required(f"{where}.maxUnavailable", message))
    return causes


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    status = obj.get("status") or {}
    counts = [key for key, value in status.items() if type(value) is int]
    return not_negative(status, "status", *counts)


def _node_selector(obj: Object, now: float) -> str:
    template = (obj.get("spec") or {}).get("template") or {}
    return cells.labels((template.get("spec") or {}).get("nodeSelector"))


DAEMON_SETS = Kind(
    group="apps",
    plural="daemonsets",
    kind="DaemonSet",
    short_names=("ds",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.DaemonSet",
    subresources=frozenset(("status",)),
    has_generation=True,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    columns=(
        NAME,
        integer("Desired", "status", "desiredNumberScheduled"),
        integer("Current", "status", "currentNumberScheduled"),
        integer("Ready", "status", "numberReady"),
        integer("Up-to-date", "status", "updatedNumberScheduled"),
        integer("Available", "status", "numberAvailable"),
        Column("Node Selector", _node_selector),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
