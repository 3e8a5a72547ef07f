"""HorizontalPodAutoscaler. Stored as v2; v1 is a view of it.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

import copy
from typing import Any

from netemu.api import names, quantity
from netemu.api.cells import AGE, NAME, at, integer
from netemu.api.invalid import forbidden, invalid, not_supported, required
from netemu.api.kind import Cause, Column, Kind, Object
from netemu.api.objectrules import not_negative

MAX_PERIOD = 1800
MAX_WINDOW = 3600
_SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "External": "external",
    "ContainerResource": "containerResource",
}
_TARGETS = ("Utilization", "Value", "AverageValue")
_SELECT = ("Disabled", "Max", "Min")
_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Object = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        for side, rules in (("scaleUp", _UP), ("scaleDown", _DOWN)):
            given = behavior.get(side) or {}
            known = {key: value for key, value in given.items() if value is not None}
            behavior[side] = {**copy.deepcopy(rules), **known}


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0, "currentMetrics": None}


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    causes: list[Cause] = []
    before = ((old or {}).get("spec") or {}).get("minReplicas")
    bound = 0 if before == 0 else 1
    if low is not None and low < bound:
        message = f"must be greater than or equal to {bound}"
        causes.append(invalid("spec.minReplicas", low, message))
    if high < 1:
        causes.append(invalid("spec.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        message = "must be greater than or equal to `minReplicas`"
        causes.append(invalid("spec.maxReplicas", high, message))
    causes += _check_reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or ()):
        causes += _check_metric(metric, f"spec.metrics[{index}]")
    for side in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(side)
        if rules is not None:
            causes += _check_rules(rules, f"spec.behavior.{side}")
    return causes


def _check_reference(reference: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("kind", "name"):
        value = reference.get(key)
        if not value:
            causes.append(required(f"{path}.{key}"))
        else:
            wrong = names.path_segment(value)
            causes += [invalid(f"{path}.{key}", value, why) for why in wrong]
    return causes


def _check_metric(metric: Object, path: str) -> list[Cause]:
    kind = metric.get("type") or ""
    if not kind:
        return [required(f"{path}.type", "must specify a metric source type")]
    if kind not in _SOURCES:
        return [not_supported(f"{path}.type", kind, _SOURCES)]
    wanted = _SOURCES[kind]
    causes = [
        forbidden(f"{path}.{source}", "must populate the given metric source only")
        for source in _SOURCES.values()
        if source != wanted and metric.get(source) is not None
    ]
    if metric.get(wanted) is None:
        message = "must populate information for the given metric source"
        return [*causes, required(f"{path}.{wanted}", message)]
    target = metric[wanted].get("target") or {}
    if not target.get("type"):
        message = "must specify a metric target type"
        causes.append(required(f"{path}.{wanted}.target.type", message))
    elif target["type"] not in _TARGETS:
        message = "must be either Utilization, Value, or AverageValue"
        causes.append(invalid(f"{path}.{wanted}.target.type", target["type"], message))
    if wanted in ("resource", "containerResource") and not (
        target.get("averageUtilization") or target.get("averageValue")
    ):
        message = "must set either a target raw value or a target utilization"
        causes.append(required(f"{path}.{wanted}.target.averageUtilization", message))
    for key in ("value", "averageValue", "averageUtilization"):
        value = target.get(key)
        if isinstance(value, int) and value < 1:
            causes.append(invalid(f"{path}.{wanted}.target.{key}", value, "must be positive"))
    return causes


def _check_rules(rules: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    window, select = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and window < 0:
        message = "must be greater than or equal to zero"
        causes.append(invalid(f"{path}.stabilizationWindowSeconds", window, message))
    if window is not None and window > MAX_WINDOW:
        message = f"must be less than or equal to {MAX_WINDOW}"
        causes.append(invalid(f"{path}.stabilizationWindowSeconds", window, message))
    if select is not None and select not in _SELECT:
        causes.append(not_supported(f"{path}.selectPolicy", select, _SELECT))
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.parse(tolerance) < 0:
        message = "must be greater than or equal to 0"
        causes.append(invalid(f"{path}.tolerance", tolerance, message))
    if not rules.get("policies"):
        causes.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        where = f"{path}.policies[{index}]"
        if policy.get("type") not in ("Pods", "Percent"):
            causes.append(not_supported(f"{where}.type", policy.get("type"), ("Pods", "Percent")))
        for key in ("value", "periodSeconds"):
            if (policy.get(key) or 0) <= 0:
                message = "must be greater than zero"
                causes.append(invalid(f"{where}.{key}", policy.get(key) or 0, message))
        if (policy.get("periodSeconds") or 0) > MAX_PERIOD:
            message = f"must be less than or equal to {MAX_PERIOD}"
            causes.append(invalid(f"{where}.periodSeconds", policy["periodSeconds"], message))
    return causes


def _validate_status(obj: Object, old: Object | None) -> list[Cause]:
    return not_negative(obj.get("status") or {}, "status", "currentReplicas", "desiredReplicas")


def _reference(obj: Object, now: float) -> str:
    found = (obj.get("spec") or {}).get("scaleTargetRef") or {}
    return f"{found.get('kind')}/{found.get('name')}"


def _targets(obj: Object, now: float) -> str:
    """`cpu: 10%/80%`, and `<unknown>` where nothing was measured yet."""
    current = (obj.get("status") or {}).get("currentMetrics") or []
    shown = [
        _target(metric, current[index] if index < len(current) else {})
        for index, metric in enumerate((obj.get("spec") or {}).get("metrics") or ())
    ]
    if not shown:
        return "<none>"
    if len(shown) > 2:
        return f"{', '.join(shown[:2])} + {len(shown) - 2} more..."
    return ", ".join(shown)


def _target(metric: dict[str, Any], measured: dict[str, Any]) -> str:
    source = _SOURCES.get(metric.get("type", ""), "")
    wanted = metric.get(source) or {}
    target, current = wanted.get("target") or {}, (measured.get(source) or {}).get("current") or {}
    label = f"{wanted['name']}: " if wanted.get("name") else ""
    if target.get("averageValue") is not None:
        average = " (avg)" if source in ("object", "external") else ""
        found = current.get("averageValue", "<unknown>")
        return f"{label}{found}/{target['averageValue']}{average}"
    if target.get("averageUtilization") is not None:
        used = current.get("averageUtilization")
        found = "<unknown>" if used is None else f"{used}%"
        return f"{label}{found}/{target['averageUtilization']}%"
    return f"{label}{current.get('value', '<unknown>')}/{target.get('value', '<auto>')}"


def _minimum(obj: Object, now: float) -> str:
    value = (obj.get("spec") or {}).get("minReplicas")
    return "<unset>" if value is None else str(value)


HORIZONTAL_POD_AUTOSCALERS = Kind(
    group="autoscaling",
    version="v2",
    plural="horizontalpodautoscalers",
    kind="HorizontalPodAutoscaler",
    short_names=("hpa",),
    categories=("all",),
    schema="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    aliases=(("autoscaling", "v1"),),
    subresources=frozenset(("status",)),
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    columns=(
        NAME,
        Column("Reference", _reference),
        Column("Targets", _targets),
        Column("MinPods", _minimum),
        Column("MaxPods", at("spec", "maxReplicas", default=0)),
        integer("Replicas", "status", "currentReplicas"),
        AGE,
    ),
)
