"""Which pods of a StatefulSet to start and stop next. Pure.

In order, one at a time: pod N starts when those before it are available, and pods end from the
highest ordinal down, each when the one after it is gone. `Parallel` lifts that for scaling, not for
updates.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/statefulset/stateful_set_control.go
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netemu.api.kind import Object
from netemu.api.meta import is_deleting
from netemu.controllers import podstate
from netemu.controllers.intorpercent import resolve
from netemu.controllers.replicas import BURST
from netemu.controllers.statefulset.identity import ordinal_of, revision_of, start_ordinal


@dataclass(slots=True, kw_only=True)
class Plan:
    """What to do in this look."""

    create: list[int] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    condemned: list[Object] = field(default_factory=list)
    """Those in `delete` that end because the set has shrunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A StatefulSet and its pods, sorted into slots."""

    owner: Object
    slots: dict[int, Object | None]
    """Ordinal -> pod, in ascending order; None where it is missing."""
    condemned: tuple[Object, ...]
    """Pods beyond the range, highest ordinal first."""
    now: float

    @property
    def min_ready(self) -> int:
        return int(self.owner["spec"].get("minReadySeconds") or 0)

    @property
    def ordered(self) -> bool:
        return bool(self.owner["spec"].get("podManagementPolicy") != "Parallel")

    def is_available(self, pod: Object) -> bool:
        return is_running_and_ready(pod) and podstate.is_available(pod, self.min_ready, self.now)


def view_of(owner: Object, pods: Sequence[Object], now: float) -> View:
    """`pods`: all that the set owns."""
    start = start_ordinal(owner)
    replicas = owner["spec"].get("replicas")
    wanted = range(start, start + (1 if replicas is None else int(replicas)))
    # Two thousand million replicas may be asked for; a look never sees more free slots than BURST.
    slots: dict[int, Object | None] = dict.fromkeys(wanted[: len(pods) + BURST])
    condemned = []
    for pod in pods:
        if ordinal_of(pod) in wanted:
            slots[ordinal_of(pod)] = pod
        else:
            condemned.append(pod)
    condemned.sort(key=ordinal_of, reverse=True)
    return View(owner=owner, slots=dict(sorted(slots.items())), condemned=tuple(condemned), now=now)


def is_running_and_ready(pod: Object) -> bool:
    return podstate.phase(pod) == "Running" and podstate.is_ready(pod)


def is_healthy(pod: Object | None) -> bool:
    return pod is not None and is_running_and_ready(pod) and not is_deleting(pod)


def partition_of(owner: Object) -> int:
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def wants_current(owner: Object, ordinal: int) -> bool:
    """Whether a new pod of that ordinal is made from the current revision, not the update one."""
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return False
    return ordinal < start_ordinal(owner) + partition_of(owner)


def plan(view: View, update_revision: str) -> Plan:
    """The next step: fill slots, then end condemned pods, then update."""
    result = Plan()
    if is_deleting(view.owner):
        return result
    if _fill(view, result) and view.ordered:
        return result
    if _shrink(view, result) and view.ordered:
        return result
    if not result.create and not result.delete:
        _update(view, update_revision, result)
    return result


def _fill(view: View, result: Plan) -> bool:
    """Create what is missing, replace what has finished. True when the rest has to wait."""
    for ordinal, pod in view.slots.items():
        if pod is None:
            result.create.append(ordinal)
        elif podstate.is_finished(pod):
            if not is_deleting(pod):
                result.delete.append(pod)
        elif not is_deleting(pod) and view.is_available(pod):
            continue
        if view.ordered:
            return True
    return False


def _shrink(view: View, result: Plan) -> bool:
    """End pods beyond the range, from the highest down. True when the rest has to wait."""
    everyone = [*view.slots.values(), *reversed(view.condemned)]
    first_unhealthy = next((pod for pod in everyone if not is_healthy(pod)), None)
    for pod in view.condemned:
        held = pod is not first_unhealthy and not view.is_available(pod)
        if not is_deleting(pod) and not (view.ordered and held):
            result.delete.append(pod)
            result.condemned.append(pod)
        if view.ordered:
            return True
    return False


def _update(view: View, revision: str, result: Plan) -> None:
    """Stop pods of another revision, highest ordinal first, as many as may be unavailable."""
    strategy = view.owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    pods = list(view.slots.values())
    targets = list(reversed(pods[partition_of(view.owner) :]))
    limit = (strategy.get("rollingUpdate") or {}).get("maxUnavailable")
    if limit is not None:
        most = max(1, resolve(limit, len(pods), up=False))
        spare = most - sum(not _usable(view, pod) for pod in pods)
        outdated = [pod for pod in targets if pod is not None and _is_outdated(pod, revision)]
        result.delete.extend(outdated[: max(0, spare)])
        return
    for pod in targets:
        if pod is not None and _is_outdated(pod, revision):
            result.delete.append(pod)
            return
        if not _usable(view, pod):
            return


def _usable(view: View, pod: Object | None) -> bool:
    return pod is not None and is_healthy(pod) and view.is_available(pod)


def _is_outdated(pod: Object, revision: str) -> bool:
    return not is_deleting(pod) and revision_of(pod) != revision
