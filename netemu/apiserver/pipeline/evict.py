"""Eviction: a delete that a PodDisruptionBudget may refuse.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

from netemu.api import meta, selectors
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import Context, DeleteOptions
from netemu.apiserver.pipeline.delete import delete
from netemu.apiserver.pipeline.update import modify
from netemu.errors import ApiError


async def evict(
    ctx: Context, kind: Kind, namespace: str, name: str, options: DeleteOptions
) -> None:
    """Delete the pod; ApiError TooManyRequests when its budget allows no disruption now."""
    pod = ctx.find(kind, namespace, name).object
    if not _may_go_anyway(pod):
        budgets = _budgets(ctx, pod)
        if len(budgets) > 1:
            message = "This pod has more than one PodDisruptionBudget, which the eviction "
            raise ApiError("InternalError", f"{message}subresource does not support.")
        for budget in budgets:
            if not _may_go_unhealthy(pod, budget):
                await _spend(ctx, budget, name)
    await delete(ctx, kind, namespace, name, options)


def _may_go_anyway(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or meta.is_deleting(pod)


def _may_go_unhealthy(pod: Object, budget: Object) -> bool:
    """unhealthyPodEvictionPolicy: a pod that is not ready serves nobody, and is not guarded.

    By default only while the budget's other pods are healthy enough.
    """
    if _is_ready(pod):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    return bool(0 < status.get("desiredHealthy", 0) <= status.get("currentHealthy", 0))


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each.get("status") == "True" for each in conditions)


def _budget_kind(ctx: Context) -> Kind | None:
    return ctx.registry.find("policy", "v1", "poddisruptionbudgets")


def _budgets(ctx: Context, pod: Object) -> list[Object]:
    kind = _budget_kind(ctx)
    if kind is None:
        return []
    labels = meta.labels(pod)
    return [
        entry.object
        for entry in ctx.cache.of(kind).entries(meta.namespace(pod))
        if selectors.from_label_selector((entry.object.get("spec") or {}).get("selector")).matches(
            labels
        )
    ]


async def _spend(ctx: Context, budget: Object, pod: str) -> None:
    """Take one allowed disruption, atomically: two evictions cannot both have the last one."""
    kind = _budget_kind(ctx)
    assert kind is not None

    def change(old: Object) -> Object:
        status = old.get("status") or {}
        if status.get("observedGeneration", 0) < old["metadata"].get("generation", 0):
            raise _refused("The disruption budget has not been processed yet.", 10)
        if status.get("disruptionsAllowed", 0) < 1:
            name, wanted = meta.name(old), status.get("desiredHealthy", 0)
            healthy = status.get("currentHealthy", 0)
            why = f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} "
            raise _refused(f"{why}currently", 0)
        new = meta.copy(old)
        del new["metadata"]["resourceVersion"]
        disrupted = {**(status.get("disruptedPods") or {}), pod: meta.timestamp(ctx.clock.now())}
        new["status"] = {
            **status,
            "disruptionsAllowed": status["disruptionsAllowed"] - 1,
            "disruptedPods": disrupted,
        }
        return new

    await modify(ctx, kind, meta.namespace(budget), meta.name(budget), change, subresource="status")


def _refused(why: str, retry: int) -> ApiError:
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry:
        details["retryAfterSeconds"] = retry
    return ApiError("TooManyRequests", message, details=details)
