"""How many replicas each ReplicaSet may have next. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/deployment/rolling.go
"""

from __future__ import annotations

from collections.abc import Sequence

from netemu.api.kind import Object
from netemu.api.meta import name
from netemu.controllers.deployment.revisions import DESIRED, MAXIMUM, age
from netemu.controllers.intorpercent import resolve

Sizes = dict[str, int]
"""Name of a ReplicaSet -> the replicas it should have; only those that change."""


def replicas(obj: Object) -> int:
    """spec.replicas of a Deployment or ReplicaSet."""
    wanted = obj["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def available(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("availableReplicas") or 0)


def staying(replica_set: Object) -> int:
    """Available pods that stay: a set told to shrink may not have counted again yet."""
    return min(available(replica_set), replicas(replica_set))


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type") != "Recreate")


def fenceposts(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; surge rounds up, and both are never zero."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas(deployment)
    surge = resolve(rolling.get("maxSurge", "25%"), total, up=True)
    unavailable = resolve(rolling.get("maxUnavailable", "25%"), total, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_surge(deployment: Object) -> int:
    return fenceposts(deployment)[0]


def max_unavailable(deployment: Object) -> int:
    if not is_rolling(deployment) or replicas(deployment) == 0:
        return 0
    return min(fenceposts(deployment)[1], replicas(deployment))


def sizes_of(deployment: Object) -> dict[str, str]:
    """Annotations that tell a set which size of the Deployment it was scaled for."""
    wanted = replicas(deployment)
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + max_surge(deployment))}


def new_set_size(deployment: Object, sets: Sequence[Object], new: Object | None) -> int:
    """The size that the new set may have now; `sets` are all of them, the new one too."""
    wanted, current = replicas(deployment), replicas(new) if new is not None else 0
    if not is_rolling(deployment):
        return wanted
    room = wanted + max_surge(deployment) - sum(map(replicas, sets))
    if room <= 0:
        return current
    return current + min(room, wanted - current)


def plan_new(deployment: Object, sets: Sequence[Object], new: Object) -> Sizes:
    """Grow the new set as far as the surge allows, or shrink it when it is too large."""
    wanted, current = replicas(deployment), replicas(new)
    if current == wanted:
        return {}
    target = wanted if current > wanted else new_set_size(deployment, sets, new)
    return {name(new): target} if target != current else {}


def plan_old(deployment: Object, new: Object | None, old: Sequence[Object]) -> Sizes:
    """Shrink old sets: first what is not available anyway, then as availability allows."""
    before = {name(rs): replicas(rs) for rs in old}
    if not any(before.values()):
        return {}
    minimum = replicas(deployment) - max_unavailable(deployment)
    new_size = replicas(new) if new is not None else 0
    new_available = staying(new) if new is not None else 0
    spare = sum(before.values()) + new_size - minimum - (new_size - new_available)
    if spare <= 0:
        return {}
    sizes = _without_unhealthy(sorted(old, key=age), before, spare)
    surplus = sum(map(staying, old)) + new_available - minimum
    for rs in sorted(old, key=age):
        if surplus <= 0:
            break
        step = min(sizes[name(rs)], surplus)
        sizes[name(rs)] -= step
        surplus -= step
    return {named: size for named, size in sizes.items() if size != before[named]}


def _without_unhealthy(old: Sequence[Object], before: Sizes, spare: int) -> Sizes:
    """Drop replicas that are not available, `spare` at the most: that costs nobody anything."""
    sizes = dict(before)
    for rs in old:
        step = min(spare, max(0, sizes[name(rs)] - staying(rs)))
        if sizes[name(rs)] and step:
            sizes[name(rs)] -= step
            spare -= step
    return sizes


def plan_recreate(old: Sequence[Object]) -> Sizes:
    """Recreate stops all old sets before the new one starts."""
    return {name(rs): 0 for rs in old if replicas(rs)}
