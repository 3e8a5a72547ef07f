"""Pods: they are deleted gracefully, because a kubelet has to stop their processes first.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
"""

from __future__ import annotations

from netemu.api.kind import Object
from netemu.apiserver.pipeline.context import DeleteOptions
from netemu.apiserver.strategies.strategy import Strategy

DEFAULT_GRACE = 30


class PodStrategy(Strategy):
    returns_deleted = True

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
