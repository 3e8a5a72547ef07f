"""A change of size while several ReplicaSets run is shared in proportion. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#proportional-scaling
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/deployment/sync.go (scale)
"""

from __future__ import annotations

from collections.abc import Sequence

from netemu.api.kind import Object
from netemu.api.meta import annotations as annotations_of
from netemu.api.meta import is_deleting, name
from netemu.controllers.deployment.revisions import DESIRED, MAXIMUM, age
from netemu.controllers.deployment.rollout import (
    Sizes,
    available,
    is_rolling,
    max_surge,
    replicas,
)


def is_scaling(deployment: Object, sets: Sequence[Object]) -> bool:
    """Whether the Deployment's size is not the one that its active sets were told."""
    return any(
        _number(rs, DESIRED) not in (None, replicas(deployment)) for rs in sets if replicas(rs)
    )


def plan_scaling(deployment: Object, new: Object | None, old: Sequence[Object]) -> Sizes:
    """The sets' sizes after the Deployment's size changed, or while it is paused."""
    wanted = replicas(deployment)
    everything = [*old, *([new] if new is not None else [])]
    active = [rs for rs in everything if replicas(rs)]
    if len(active) < 2:
        only = active[0] if active else new or max(old, key=age, default=None)
        return {name(only): wanted} if only is not None and replicas(only) != wanted else {}
    if _is_saturated(deployment, new):
        return {name(rs): 0 for rs in old if replicas(rs)}
    return _proportional(deployment, active) if is_rolling(deployment) else {}


def _is_saturated(deployment: Object, new: Object | None) -> bool:
    wanted = replicas(deployment)
    return (
        new is not None
        and replicas(new) == wanted
        and _number(new, DESIRED) == wanted
        and available(new) == wanted
    )


def _proportional(deployment: Object, active: Sequence[Object]) -> Sizes:
    wanted = replicas(deployment)
    total = sum(map(replicas, active))
    allowed = wanted + max_surge(deployment) if wanted else 0
    to_add = allowed - total
    ordered = sorted(active, key=lambda rs: _by_size(rs, growing=to_add > 0))
    sizes: Sizes = {}
    added = 0
    for rs in ordered:
        share = _share(deployment, rs, to_add - added, to_add) if to_add else 0
        sizes[name(rs)] = replicas(rs) + share
        added += share
    if to_add and ordered:
        first = name(ordered[0])
        sizes[first] = max(0, sizes[first] + to_add - added)
    return {name(rs): sizes[name(rs)] for rs in ordered if sizes[name(rs)] != replicas(rs)}


def _by_size(rs: Object, *, growing: bool) -> tuple[int, tuple[int, ...], str]:
    """Larger first; of equals the newer one first when growing, the older one when shrinking."""
    stamp = tuple(ord(char) for char in age(rs)[0])
    return -replicas(rs), tuple(-char for char in stamp) if growing else stamp, name(rs)


def _share(deployment: Object, rs: Object, left: int, to_add: int) -> int:
    """What `rs` gets (or loses), rounded, never more than is `left`."""
    if not replicas(rs) or not left:
        return 0
    fraction = _fraction(deployment, rs)
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def _fraction(deployment: Object, rs: Object) -> int:
    wanted, current = replicas(deployment), replicas(rs)
    if wanted == 0:
        return -current
    maximum = _number(rs, MAXIMUM)
    if not maximum:
        maximum = int((deployment.get("status") or {}).get("replicas") or wanted)
    size = current * (wanted + max_surge(deployment)) / maximum
    return int(size + 0.5) - current


def _number(rs: Object, annotation: str) -> int | None:
    text = annotations_of(rs).get(annotation)
    return int(text) if text is not None and text.isdigit() else None


def alive(sets: Sequence[Object]) -> list[Object]:
    return [rs for rs in sets if not is_deleting(rs)]
