"""The acting part: every 15 s, look at usage, scale, and say why.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import is_deleting, key, labels, namespace, timestamp
from netemu.controllers.autoscaling.behavior import History, Limited, limit
from netemu.controllers.autoscaling.calculate import MetricError, Proposal, Tolerance, propose
from netemu.controllers.autoscaling.metrics import NoMetrics, PodMetrics
from netemu.controllers.conditions import Condition, with_condition
from netemu.controllers.context import BY_NAMESPACE, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.selecting import parsed
from netemu.controllers.statuswrite import apply_status
from netemu.errors import ApiError

PERIOD = 15.0
"""Seconds between looks, as kube-controller-manager's --horizontal-pod-autoscaler-sync-period."""
_SCALABLE: dict[str, Resource] = {
    "Deployment": kinds.DEPLOYMENTS,
    "ReplicaSet": kinds.REPLICA_SETS,
    "StatefulSet": kinds.STATEFUL_SETS,
    "ReplicationController": kinds.REPLICATION_CONTROLLERS,
}


class HorizontalPodAutoscalerController(Controller):
    name: ClassVar[str] = "horizontalpodautoscaler"

    def __init__(
        self,
        context: ControllerContext,
        metrics: PodMetrics | None = None,
        *,
        period: float = PERIOD,
    ) -> None:
        super().__init__(context)
        self._metrics: PodMetrics = metrics or NoMetrics()
        self._period = period
        self._history: dict[str, History] = {}
        self.scalers = self.watch(kinds.HORIZONTAL_POD_AUTOSCALERS, _own_keys)
        self.pods = self.watch(kinds.PODS)
        self.targets = {kind: self.watch(resource) for kind, resource in _SCALABLE.items()}

    async def reconcile(self, key: str) -> float | None:
        scaler = self.scalers.get(key)
        if scaler is None or is_deleting(scaler):
            self._history.pop(key, None)
            return None
        view = _View(scaler, self.clock.now())
        await self._scale(key, view)
        written = await apply_status(
            self.client, kinds.HORIZONTAL_POD_AUTOSCALERS, scaler, view.status
        )
        if written is not None:
            self.writes.note(key, self.scalers, written)
        return self._period

    async def _scale(self, where: str, view: _View) -> None:
        reference = view.spec["scaleTargetRef"]
        informer = self.targets.get(reference["kind"])
        target = informer.get(f"{namespace(view.scaler)}/{reference['name']}") if informer else None
        if informer is None or target is None:
            why = _not_found(reference, informer.resource if informer else None)
            text = f"the HPA controller was unable to get the target's current scale: {why}"
            view.tell("AbleToScale", "False", "FailedGetScale", text)
            hpa = kinds.HORIZONTAL_POD_AUTOSCALERS
            self.events.event(view.scaler, hpa, "Warning", "FailedGetScale", why)
            return
        told = "the HPA controller was able to get the target's current scale"
        view.tell("AbleToScale", "True", "SucceededGetScale", told)
        replicas = target["spec"].get("replicas")
        current = 1 if replicas is None else int(replicas)
        view.status["currentReplicas"] = int((target.get("status") or {}).get("replicas") or 0)
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            view.tell("ScalingActive", "False", "ScalingDisabled", text)
            view.status["desiredReplicas"] = 0
            return
        proposal = await self._propose(view, target, current)
        if proposal is None:
            return
        history = self._history.setdefault(where, History())
        limited = limit(view.spec, current, proposal.replicas, history, view.now)
        view.tell_limits(limited)
        view.status["desiredReplicas"] = limited.replicas
        if limited.replicas != current:
            await self._write(view, informer.resource, target, current, limited, proposal)
            history.changes.append((view.now, limited.replicas - current))

    async def _propose(self, view: _View, target: Object, current: int) -> Proposal | None:
        """The largest of what the metrics ask for; with one missing, no shrinking."""
        selector = parsed(target["spec"].get("selector"))
        space = namespace(view.scaler)
        pods = [
            pod for pod in self.pods.by_index(BY_NAMESPACE, space) if selector.matches(labels(pod))
        ]
        usage = await self._metrics.usage(space)
        proposals: list[Proposal] = []
        errors: list[MetricError] = []
        tolerance = Tolerance.of(view.spec)
        for metric in view.spec.get("metrics") or _DEFAULT_METRICS:
            try:
                proposals.append(propose(metric, pods, usage, current, view.now, tolerance))
            except MetricError as error:
                errors.append(error)
        best = max(proposals, key=lambda found: found.replicas, default=None)
        if best is None or (errors and best.replicas < current):
            first = errors[0]
            text = f"the HPA was unable to compute the replica count: {first}"
            view.tell("ScalingActive", "False", first.reason, text)
            resource = kinds.HORIZONTAL_POD_AUTOSCALERS
            self.events.event(view.scaler, resource, "Warning", first.reason, str(first))
            return None
        text = f"the HPA was able to successfully calculate a replica count from {best.what}"
        view.tell("ScalingActive", "True", "ValidMetricFound", text)
        view.status["currentMetrics"] = [found.metric for found in proposals]
        return best

    async def _write(
        self,
        view: _View,
        resource: Resource,
        target: Object,
        current: int,
        limited: Limited,
        proposal: Proposal,
    ) -> None:
        word = "above" if limited.replicas > current else "below"
        why = f"{proposal.what} {word} target" if word == "above" else "All metrics below target"
        patch = {"spec": {"replicas": limited.replicas}}
        hpa = kinds.HORIZONTAL_POD_AUTOSCALERS
        try:
            await self.client.patch(
                resource,
                target["metadata"]["name"],
                namespace(target),
                patch,
                subresource="scale",
            )
        except ApiError as error:
            text = f"the HPA controller was unable to update the target scale: {error}"
            view.tell("AbleToScale", "False", "FailedUpdateScale", text)
            text = f"New size: {limited.replicas}; reason: {why}; error: {error}"
            self.events.event(view.scaler, hpa, "Warning", "FailedRescale", text)
            return
        told = "the HPA controller was able to update the target scale to"
        view.tell("AbleToScale", "True", "SucceededRescale", f"{told} {limited.replicas}")
        view.status["lastScaleTime"] = timestamp(view.now)
        text = f"New size: {limited.replicas}; reason: {why}"
        self.events.event(view.scaler, hpa, "Normal", "SuccessfulRescale", text)


_DEFAULT_METRICS: Sequence[dict[str, Any]] = (
    {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    },
)


class _View:
    """One look at one autoscaler: the status as it grows."""

    def __init__(self, scaler: Object, now: float) -> None:
        self.scaler, self.spec, self.now = scaler, scaler["spec"], now
        old = scaler.get("status") or {}
        kept = ("lastScaleTime", "currentMetrics", "currentReplicas", "desiredReplicas")
        self.status: dict[str, Any] = {field: old[field] for field in kept if field in old}
        self.status["conditions"] = list(old.get("conditions") or ())
        self.status.setdefault("desiredReplicas", 0)
        self.status["observedGeneration"] = scaler["metadata"].get("generation", 1)

    def tell(self, type_: str, status: str, reason: str, message: str) -> None:
        conditions: list[Condition] = self.status["conditions"]
        self.status["conditions"] = with_condition(
            conditions, type_, status, reason, message, timestamp(self.now)
        )

    def tell_limits(self, limited: Limited) -> None:
        if limited.stabilized:
            text = "recent recommendations were higher than current one, applying the highest"
            text += " recent recommendation"
            self.tell("AbleToScale", "True", "ScaleDownStabilized", text)
        else:
            text = "recommended size matches current size"
            self.tell("AbleToScale", "True", "ReadyForNewScale", text)
        status = "True" if limited.limited else "False"
        self.tell("ScalingLimited", status, limited.reason, limited.message)


def _not_found(reference: Object, resource: Resource | None) -> str:
    if resource is None:
        group = reference.get("apiVersion", "").rpartition("/")[0]
        return f'no matches for kind "{reference["kind"]}" in group "{group}"'
    group = f".{resource.group}" if resource.group else ""
    return f'{resource.plural}{group} "{reference["name"]}" not found'


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    """Not for a new status: usage is looked at once a period, not once more for what it said."""
    if new is None or (old is not None and old["spec"] == new["spec"]):
        return ()
    return (key(new),)
