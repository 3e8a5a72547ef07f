"""Pods: they are deleted gracefully, because a kubelet has to stop their processes first.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
"""

from __future__ import annotations

from netemu.api.kind import Object
from netemu.apiserver.pipeline.context import Context, DeleteOptions
from netemu.apiserver.strategies.podadmission import (
    add_account,
    add_priority,
    add_tolerations,
    apply_limits,
)
from netemu.apiserver.strategies.strategy import Strategy

DEFAULT_GRACE = 30


class PodStrategy(Strategy):
    """`toleration_seconds`: how long pods stay on a node that is lost."""

    returns_deleted = True

    def __init__(self, toleration_seconds: int = 300) -> None:
        self._toleration_seconds = toleration_seconds

    def admit_create(self, ctx: Context, obj: Object) -> None:
        kind = ctx.registry.find("", "v1", "pods")
        if kind is None or not isinstance(obj.get("spec"), dict):
            return  # validation will say so
        add_account(ctx, obj)
        add_priority(ctx, obj)
        add_tolerations(obj, self._toleration_seconds)
        apply_limits(ctx, kind, obj)

    def grace_seconds(self, obj: Object, options: DeleteOptions) -> int:
        """What the request says, else what the pod says; nothing where no kubelet is concerned."""
        spec = obj.get("spec") or {}
        if not spec.get("nodeName"):
            return 0
        if (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
            return 0
        if options.grace_period_seconds is not None:
            return max(0, options.grace_period_seconds)
        return int(spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE))
