"""How many replicas the pods' usage asks for. Pure.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/podautoscaler/replica_calculator.go
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api import quantity
from netemu.api.amounts import amount, container_amounts
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, name, seconds_of
from netemu.controllers import podstate
from netemu.controllers.autoscaling.metrics import ContainerUsage

READINESS_DELAY = 30.0
"""Seconds after its start during which an unready pod's cpu says nothing."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far usage may be off its target, as a share of it, before anything is scaled.

    https://github.com/kubernetes/enhancements/issues/4951
    """

    up: float = 0.1
    down: float = 0.1

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Tolerance:
        """What `spec.behavior` says; a tenth, as kube-controller-manager, where it does not."""
        behavior = spec.get("behavior") or {}
        given = {
            field: float(quantity.parse(rules["tolerance"]))
            for field, side in (("up", "scaleUp"), ("down", "scaleDown"))
            if (rules := behavior.get(side) or {}).get("tolerance") is not None
        }
        return cls(**given)

    def allows(self, ratio: float) -> bool:
        """Whether usage / target is near enough to one."""
        return 1 - self.down <= ratio <= 1 + self.up


DEFAULT_TOLERANCE = Tolerance()


class MetricError(Exception):
    """No proposal can be made; `reason` is the ScalingActive condition's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    replicas: int
    metric: dict[str, Any]
    """An entry of status.currentMetrics."""
    what: str
    """`cpu resource utilization (percentage of request)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorted:
    used: dict[str, int]
    """Pod -> usage, of pods whose usage counts."""
    unready: list[Object]
    missing: list[Object]


def propose(
    metric: Mapping[str, Any],
    pods: Sequence[Object],
    usage: Mapping[str, ContainerUsage],
    current: int,
    now: float,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
) -> Proposal:
    """What one entry of spec.metrics asks for; MetricError when it cannot be told."""
    source = {"Resource": "resource", "ContainerResource": "containerResource"}.get(metric["type"])
    reason = f"FailedGet{metric['type']}Metric"
    if source is None:
        raise MetricError(reason, _not_served(metric))
    spec = metric[source]
    resource, container = spec["name"], spec.get("container", "")
    found = _sort(pods, usage, resource, container, now)
    if not found.used:
        text = f"unable to get metrics for resource {resource}: no metrics returned"
        raise MetricError(reason, text)
    target = spec["target"]
    if target["type"] == "Utilization":
        try:
            weights = {name(pod): _request(pod, resource, container) for pod in pods}
        except LookupError as error:
            raise MetricError(reason, str(error.args[0])) from None
        goal = float(target["averageUtilization"]) / 100
        shown = round(100 * _share(found.used, weights))
        value: dict[str, Any] = {"averageUtilization": shown}
        what = f"{resource} resource utilization (percentage of request)"
    else:
        weights = {name(pod): 1 for pod in pods}
        goal = float(amount(resource, str(target["averageValue"])))
        what, value = f"{resource} resource", {}
    value["averageValue"] = _render(resource, sum(found.used.values()) // len(found.used))
    entry = {"name": resource, "current": value}
    if container:
        entry["container"] = container
    return Proposal(
        replicas=_replicas(found, weights, goal, current, tolerance),
        metric={"type": metric["type"], source: entry},
        what=what,
    )


def _not_served(metric: Mapping[str, Any]) -> str:
    """Pods, Object and External metrics come from APIs that an adapter would have to serve."""
    source = metric.get(metric["type"].lower()) or {}
    which = "external" if metric["type"] == "External" else "custom"
    return (
        f"unable to get metric {(source.get('metric') or {}).get('name')}: unable to fetch metrics "
        f"from {which} metrics API: no {which} metrics API ({which}.metrics.k8s.io) registered"
    )


def _sort(
    pods: Sequence[Object],
    usage: Mapping[str, ContainerUsage],
    resource: str,
    container: str,
    now: float,
) -> _Sorted:
    used: dict[str, int] = {}
    unready, missing = [], []
    for pod in pods:
        if is_deleting(pod) or podstate.phase(pod) == "Failed":
            continue
        figures = usage.get(name(pod))
        if podstate.phase(pod) == "Pending" or (resource == "cpu" and _is_starting(pod, now)):
            unready.append(pod)
        elif figures is None or (container and container not in figures):
            missing.append(pod)
        else:
            chosen = [figures[container]] if container else list(figures.values())
            used[name(pod)] = sum(int(one.get(resource, 0)) for one in chosen)
    return _Sorted(used=used, unready=unready, missing=missing)


def _is_starting(pod: Object, now: float) -> bool:
    if podstate.is_ready(pod):
        return False
    started = (pod.get("status") or {}).get("startTime")
    return started is None or now - seconds_of(started) < READINESS_DELAY


def _request(pod: Object, resource: str, container: str) -> int:
    total = 0
    for found in pod["spec"].get("containers") or ():
        if container and found["name"] != container:
            continue
        asked = container_amounts(found, "requests").get(resource)
        if asked is None:
            text = f"missing request for {resource} in container {found['name']} of Pod {name(pod)}"
            raise LookupError(text)
        total += asked
    return total


def _share(used: Mapping[str, int], weights: Mapping[str, int]) -> float:
    """Usage as a share of what its pods weigh."""
    weight = sum(weights[pod] for pod in used)
    return sum(used.values()) / weight if weight else 0.0


def _replicas(
    found: _Sorted, weights: Mapping[str, int], goal: float, current: int, tolerance: Tolerance
) -> int:
    ratio = _share(found.used, weights) / goal
    if not found.missing and not (found.unready and ratio > 1):
        if tolerance.allows(ratio):
            return current
        return math.ceil(ratio * len(found.used))
    # Be careful with what is not known: it dampens a change in either direction.
    used = dict(found.used)
    for pod in found.missing:
        used[name(pod)] = int(goal * weights[name(pod)]) if ratio < 1 else 0
    if ratio > 1:
        used |= {name(pod): 0 for pod in found.unready}
    cautious = _share(used, weights) / goal
    reversed_ = (ratio < 1 < cautious) or (cautious < 1 < ratio)
    if tolerance.allows(cautious) or reversed_:
        return current
    wanted = math.ceil(cautious * len(used))
    if (cautious < 1 and wanted > current) or (cautious > 1 and wanted < current):
        return current
    return wanted


def _render(resource: str, value: int) -> str:
    return f"{value}m" if resource == "cpu" else str(value)
