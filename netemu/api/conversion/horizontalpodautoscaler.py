"""`autoscaling/v1`: only a CPU target, the rest in annotations, as upstream converts it.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v1/
"""

from __future__ import annotations

import json
from typing import Any

from netemu.api.kind import Object

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_SPEC = {"metrics": f"{_PREFIX}metrics", "behavior": f"{_PREFIX}behavior"}
_STATUS = {
    "currentMetrics": f"{_PREFIX}current-metrics",
    "conditions": f"{_PREFIX}conditions",
}


def to_v2(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    for part, names in ((spec, _SPEC), (status, _STATUS)):
        for field, annotation in names.items():
            text = annotations.pop(annotation, None)
            if text is not None:
                part[field] = json.loads(text)
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        spec["metrics"] = [_cpu(target), *(spec.get("metrics") or ())]
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        metric = {"name": "cpu", "current": {"averageUtilization": current}}
        found = {"type": "Resource", "resource": metric}
        status["currentMetrics"] = [found, *(status.get("currentMetrics") or ())]
    return _assembled(obj, metadata, annotations, spec, status)


def _cpu(percentage: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percentage}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def from_v2(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    others = []
    for metric in spec.get("metrics") or ():
        percentage = _utilization(metric, "target")
        if percentage is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = percentage
        else:
            others.append(metric)
    spec["metrics"] = others
    for metric in status.get("currentMetrics") or ():
        percentage = _utilization(metric, "current")
        if percentage is not None:
            status["currentCPUUtilizationPercentage"] = percentage
    for part, names in ((spec, _SPEC), (status, _STATUS)):
        for field, annotation in names.items():
            value = part.pop(field, None)
            if value:
                annotations[annotation] = json.dumps(value, separators=(",", ":"))
    return _assembled(obj, metadata, annotations, spec, status)


def _utilization(metric: dict[str, Any], side: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    found: int | None = (resource.get(side) or {}).get("averageUtilization")
    return found


def _assembled(
    obj: Object, metadata: Object, annotations: Object, spec: Object, status: Object
) -> Object:
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    made = {**obj, "metadata": metadata, "spec": spec}
    if "status" in obj:
        made["status"] = status
    return made
