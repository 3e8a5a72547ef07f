"""Which pods of less priority have to go so that this one can run. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/framework/preemption/preemption.go
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netemu.scheduler import filters
from netemu.scheduler.explain import preemption_may_help
from netemu.scheduler.model import Node, Pod

Protected = Callable[[Pod], bool]
"""Whether losing this pod would break a PodDisruptionBudget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemption:
    node: str
    victims: tuple[Pod, ...]
    violations: int
    """How many of them a PodDisruptionBudget protects."""


def plan_preemption(
    pod: Pod, nodes: Sequence[Node], reasons: Mapping[str, str], protected: Protected
) -> Preemption | None:
    """The cheapest choice of victims over all nodes; None when nobody's leaving would help."""
    if not pod.may_preempt:
        return None
    candidates = []
    for node in nodes:
        if preemption_may_help(reasons.get(node.name, "")):
            found = _on_node(pod, node, nodes, protected)
            if found is not None:
                candidates.append(found)
    return min(candidates, key=_cost, default=None)


def _cost(choice: Preemption) -> tuple[object, ...]:
    """Fewest broken budgets, then the least important victims, then the fewest."""
    priorities = [victim.priority for victim in choice.victims]
    return (
        choice.violations,
        max(priorities),
        sum(priorities),
        len(priorities),
        choice.node,
    )


def _on_node(
    pod: Pod, node: Node, nodes: Sequence[Node], protected: Protected
) -> Preemption | None:
    lower = [other for other in node.pods.values() if other.priority < pod.priority]
    if not lower:
        return None
    gone = {other.uid for other in lower}
    if not _fits_without(pod, node, nodes, gone):
        return None
    # Spare whom we can: those with a budget first, then the most important, then the oldest.
    victims = []
    for other in sorted(lower, key=lambda o: (not protected(o), -o.priority, o.created, o.key)):
        gone.discard(other.uid)
        if not _fits_without(pod, node, nodes, gone):
            gone.add(other.uid)
            victims.append(other)
    if not victims:
        return None
    violations = sum(protected(victim) for victim in victims)
    return Preemption(node=node.name, victims=tuple(victims), violations=violations)


def _fits_without(pod: Pod, node: Node, nodes: Sequence[Node], gone: set[str]) -> bool:
    left = node.without(frozenset(gone))
    after = [left if other.name == node.name else other for other in nodes]
    return not filters.first_objection(filters.prepare(pod, after), left)
