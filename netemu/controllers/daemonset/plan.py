"""Which daemon pods to start and stop, and what the status says. Pure.

https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/daemon/daemon_controller.go
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/daemon/update.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netemu.api.kind import Object
from netemu.api.meta import is_deleting, labels, name
from netemu.controllers import podstate
from netemu.controllers.daemonset.placement import node_of, should_run
from netemu.controllers.history import REVISION_HASH
from netemu.controllers.intorpercent import resolve


@dataclass(slots=True, kw_only=True)
class Plan:
    create: list[str] = field(default_factory=list)
    """Nodes that get a pod."""
    delete: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    """Those in `delete` that have failed."""


def by_node(pods: Iterable[Object]) -> dict[str, list[Object]]:
    """Oldest first; finished ones too."""
    found: dict[str, list[Object]] = {}
    for pod in pods:
        found.setdefault(node_of(pod), []).append(pod)
    for some in found.values():
        some.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", name(pod)))
    return found


def plan_nodes(
    owner: Object, nodes: Sequence[Object], placed: Mapping[str, Sequence[Object]], revision: str
) -> Plan:
    """One pod on each node that should run one, none elsewhere."""
    plan = Plan()
    surging = max_surge(owner, len(nodes)) > 0
    known = set()
    for node in nodes:
        known.add(name(node))
        wanted, may_stay = should_run(owner, node)
        pods = [pod for pod in placed.get(name(node), ()) if not is_deleting(pod)]
        if not may_stay:
            plan.delete += pods
            continue
        failed = [pod for pod in pods if podstate.is_finished(pod)]
        plan.delete += failed
        plan.failed += [pod for pod in failed if podstate.phase(pod) == "Failed"]
        alive = [pod for pod in pods if pod not in failed]
        if wanted and not alive and not placed.get(name(node)):
            plan.create.append(name(node))
        elif len(alive) > 1:
            plan.delete += _surplus(alive, revision, surging)
    for where, pods_there in placed.items():
        if where not in known:
            plan.delete += [pod for pod in pods_there if not is_deleting(pod)]
    return plan


def _surplus(alive: Sequence[Object], revision: str, surging: bool) -> list[Object]:
    """All but the oldest; during a surge the old and the new one may be there together."""
    if not surging:
        return list(alive[1:])
    new = [pod for pod in alive if _is_new(pod, revision)]
    old = [pod for pod in alive if not _is_new(pod, revision)]
    return [*new[1:], *old[1:]]


def _is_new(pod: Object, revision: str) -> bool:
    return labels(pod).get(REVISION_HASH) == revision


def _rolling(owner: Object) -> Mapping[str, Any] | None:
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return None
    found: Mapping[str, Any] = strategy.get("rollingUpdate") or {}
    return found


def max_surge(owner: Object, nodes: int) -> int:
    rolling = _rolling(owner)
    return resolve(rolling.get("maxSurge"), nodes, up=True) if rolling else 0


def max_unavailable(owner: Object, nodes: int) -> int:
    rolling = _rolling(owner)
    if rolling is None:
        return 0
    found = resolve(rolling.get("maxUnavailable"), nodes, up=True, default=1)
    return max(found, 0 if max_surge(owner, nodes) else 1)


def plan_update(
    owner: Object,
    nodes: Sequence[Object],
    placed: Mapping[str, Sequence[Object]],
    revision: str,
    now: float,
) -> Plan:
    """Replace pods of an older template, as many at a time as may be missing or too many."""
    plan = Plan()
    wanted = [name(node) for node in nodes if should_run(owner, node)[0]]
    if _rolling(owner) is None:
        return plan
    min_ready = int(owner["spec"].get("minReadySeconds") or 0)
    usable = {
        where: [p for p in placed.get(where, ()) if podstate.is_available(p, min_ready, now)]
        for where in wanted
    }
    if max_surge(owner, len(wanted)):
        _surge(owner, wanted, placed, usable, revision, plan)
        return plan
    missing, candidates = 0, []
    for where in wanted:
        alive = [pod for pod in placed.get(where, ()) if podstate.is_active(pod)]
        old = [pod for pod in alive if not _is_new(pod, revision)]
        if not any(pod in usable[where] for pod in alive):
            missing += 1
            plan.delete += old  # it serves nobody: its end costs nothing
        else:
            candidates += old
    plan.delete += candidates[: max(0, max_unavailable(owner, len(wanted)) - missing)]
    return plan


def _surge(
    owner: Object,
    wanted: Sequence[str],
    placed: Mapping[str, Sequence[Object]],
    usable: Mapping[str, Sequence[Object]],
    revision: str,
    plan: Plan,
) -> None:
    """Start the new pod beside the old one, and stop the old one when the new one is available."""
    room, candidates = max_surge(owner, len(wanted)), []
    for where in wanted:
        alive = [pod for pod in placed.get(where, ()) if podstate.is_active(pod)]
        old = [pod for pod in alive if not _is_new(pod, revision)]
        new = [pod for pod in alive if _is_new(pod, revision)]
        if not old:
            continue
        if new:
            room -= 1
            if new[0] in usable[where]:
                plan.delete += old
        elif old[0] in usable[where]:
            candidates.append(where)
        else:
            plan.delete += old
    plan.create += candidates[: max(0, room)]


def desired_status(
    owner: Object,
    nodes: Sequence[Object],
    placed: Mapping[str, Sequence[Object]],
    revision: str,
    now: float,
) -> dict[str, Any]:
    min_ready = int(owner["spec"].get("minReadySeconds") or 0)
    desired = current = misplaced = ready = available = updated = 0
    for node in nodes:
        wanted = should_run(owner, node)[0]
        pods = placed.get(name(node), ())
        desired += wanted
        if not pods:
            continue
        if not wanted:
            misplaced += 1
            continue
        current += 1
        newest = pods[-1]
        ready += any(podstate.is_ready(pod) for pod in pods)
        available += any(podstate.is_available(pod, min_ready, now) for pod in pods)
        updated += _is_new(newest, revision)
    status: dict[str, Any] = {
        "currentNumberScheduled": current,
        "numberMisscheduled": misplaced,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": owner["metadata"].get("generation", 1),
    }
    counts = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    return status | {field: count for field, count in counts.items() if count}
