"""A pod's quality of service class.

https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
"""

from __future__ import annotations

from netemu.api import quantity
from netemu.api.kind import Object

_COUNTED = ("cpu", "memory")


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    given = [container.get("resources") or {} for container in containers]
    if not any(_positive(resources) for resources in given):
        return "BestEffort"
    return "Guaranteed" if all(_equal(resources) for resources in given) else "Burstable"


def _positive(resources: Object) -> bool:
    return any(
        quantity.parse(amount) > 0
        for side in ("requests", "limits")
        for name, amount in (resources.get(side) or {}).items()
        if name in _COUNTED
    )


def _equal(resources: Object) -> bool:
    """Whether cpu and memory both have a limit, and request no less."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return all(
        name in limits
        and quantity.parse(requests.get(name, limits[name])) == quantity.parse(limits[name])
        for name in _COUNTED
    )
