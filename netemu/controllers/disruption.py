"""PodDisruptionBudget: how many of its pods may be evicted now; the server does the evicting.

https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/disruption/disruption.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import (
    controller_of,
    is_deleting,
    key,
    labels,
    name,
    namespace,
    seconds_of,
    timestamp,
)
from netemu.controllers import podstate
from netemu.controllers.conditions import with_condition
from netemu.controllers.context import BY_NAMESPACE, ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.intorpercent import resolve
from netemu.controllers.selecting import parsed
from netemu.controllers.statuswrite import apply_status

EVICTION_EXPIRES = 120.0
"""An eviction that was allowed but never happened stops counting after so many seconds."""


class UncountableError(Exception):
    """The pods' controllers do not say how many there should be."""


def covers(budget: Object, pod: Object) -> bool:
    """Whether a budget is about a pod: an empty selector means all, none at all means none."""
    selector = budget["spec"].get("selector")
    return selector is not None and parsed(selector).matches(labels(pod))


def desired_healthy(budget: Object, pods: int, expected: int) -> tuple[int, int]:
    """(expected pods, how many of them must stay healthy). `expected`: what controllers want."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        allowed = resolve(spec["maxUnavailable"], expected, up=True)
        return expected, max(0, expected - allowed)
    minimum = spec.get("minAvailable", 1)
    if isinstance(minimum, int):
        return pods, minimum
    return expected, resolve(minimum, expected, up=True)


def needs_scale(budget: Object) -> bool:
    """Whether the budget is a share of what the pods' controllers want."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def desired_status(
    budget: Object, pods: Sequence[Object], expected: int, now: float
) -> dict[str, Any]:
    old = budget.get("status") or {}
    there = {name(pod): pod for pod in pods}
    disrupted = {
        named: stamp
        for named, stamp in (old.get("disruptedPods") or {}).items()
        if named in there
        and not is_deleting(there[named])
        and seconds_of(stamp) + EVICTION_EXPIRES > now
    }
    healthy = sum(
        podstate.is_ready(pod) and not is_deleting(pod) and name(pod) not in disrupted
        for pod in pods
    )
    total, wanted = desired_healthy(budget, len(pods), expected)
    allowed = max(0, healthy - wanted) if total > 0 else 0
    word = "Sufficient" if allowed else "Insufficient"
    status: dict[str, Any] = {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": total,
        "observedGeneration": budget["metadata"].get("generation", 1),
        "conditions": with_condition(
            old.get("conditions") or (),
            "DisruptionAllowed",
            "True" if allowed else "False",
            f"{word}Pods",
            "",
            timestamp(now),
        ),
    }
    return status | ({"disruptedPods": disrupted} if disrupted else {})


def next_expiry(status: dict[str, Any], now: float) -> float | None:
    """Seconds until the first eviction that did not happen stops counting."""
    stamps = (status.get("disruptedPods") or {}).values()
    return min((seconds_of(stamp) + EVICTION_EXPIRES - now for stamp in stamps), default=None)


class DisruptionController(Controller):
    name: ClassVar[str] = "disruption"
    _scaled: ClassVar[dict[str, Resource]] = {
        "ReplicaSet": kinds.REPLICA_SETS,
        "ReplicationController": kinds.REPLICATION_CONTROLLERS,
        "StatefulSet": kinds.STATEFUL_SETS,
        "Deployment": kinds.DEPLOYMENTS,
    }

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.budgets = self.watch(kinds.POD_DISRUPTION_BUDGETS, _own_keys)
        self.pods = self.watch(kinds.PODS, self._pod_keys)
        self.owners = {
            kind: self.watch(resource, self._owner_keys) for kind, resource in self._scaled.items()
        }

    def _pod_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        if not self.budgets.objects:
            return ()
        found = set()
        for pod in (old, new):
            for budget in self.budgets.list(namespace(pod)) if pod else ():
                if pod and covers(budget, pod):
                    found.add(key(budget))
        return found

    def _owner_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """A controller was scaled: budgets that are a share of it may change."""
        obj = new or old
        if not self.budgets.objects or obj is None:
            return ()
        if old and new and old["spec"].get("replicas") == new["spec"].get("replicas"):
            return ()
        return [key(b) for b in self.budgets.list(namespace(obj)) if needs_scale(b)]

    def pause(self, key: str) -> float:
        return 0.02 if len(self.pods.objects) > 100 else 0.0

    async def reconcile(self, key: str) -> float | None:
        budget = self.budgets.get(key)
        if budget is None or is_deleting(budget):
            return None
        pods = [
            pod
            for pod in self.pods.by_index(BY_NAMESPACE, namespace(budget))
            if not podstate.is_finished(pod) and covers(budget, pod)
        ]
        now = self.clock.now()
        try:
            expected = self._expected(pods) if needs_scale(budget) else len(pods)
            status = desired_status(budget, pods, expected, now)
        except UncountableError as error:
            status = self._unsynced(budget, str(error), now)
        written = await apply_status(self.client, kinds.POD_DISRUPTION_BUDGETS, budget, status)
        if written is not None:
            self.writes.note(key, self.budgets, written)
        return next_expiry(status, now)

    def _unsynced(self, budget: Object, why: str, now: float) -> dict[str, Any]:
        """Fail safe: nothing may be evicted while nobody knows how many there should be."""
        old = budget.get("status") or {}
        told = with_condition(
            old.get("conditions") or (),
            "DisruptionAllowed",
            "False",
            "SyncFailed",
            why,
            timestamp(now),
        )
        text = f"Failed to calculate the number of expected pods: {why}"
        self.events.event(
            budget, kinds.POD_DISRUPTION_BUDGETS, "Warning", "CalculateExpectedPodCountFailed", text
        )
        counts = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, **old}
        return {**counts, "disruptionsAllowed": 0, "conditions": told}

    def _expected(self, pods: Iterable[Object]) -> int:
        """What the pods' controllers want in all, each counted once."""
        sizes: dict[str, int] = {}
        for pod in pods:
            owner = self._scaled_owner(pod)
            if owner is None:
                raise UncountableError(f'found no controller ref for pod "{name(pod)}"')
            replicas = owner["spec"].get("replicas")
            sizes[owner["metadata"]["uid"]] = 1 if replicas is None else int(replicas)
        return sum(sizes.values())

    def _scaled_owner(self, child: Object) -> Object | None:
        """The topmost controller that has replicas: a Deployment, not its ReplicaSet."""
        reference = controller_of(child)
        informer = self.owners.get(reference["kind"]) if reference else None
        if reference is None or informer is None:
            return None
        owner = informer.get(f"{namespace(child)}/{reference['name']}")
        return (self._scaled_owner(owner) or owner) if owner is not None else None


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    return (key(new),) if new else ()
