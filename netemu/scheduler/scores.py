"""Where a pod runs best: 0 to 100 from each question, weighted as in kube-scheduler. Pure.

https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netemu.api.tolerations import tolerates
from netemu.scheduler.filters import spread
from netemu.scheduler.model import Node, Pod

BEST = 100.0
_DEFAULT_CPU, _DEFAULT_MEMORY = 100, 200 * 1024 * 1024
"""What a container without requests is taken for, so that empty pods spread as well."""


def _lowest_is_best(raw: Sequence[float]) -> list[float]:
    most = max(raw, default=0.0)
    return [BEST if not most else BEST * (most - value) / most for value in raw]


def _highest_is_best(raw: Sequence[float]) -> list[float]:
    low, high = min(raw, default=0.0), max(raw, default=0.0)
    if high == low:
        return [0.0] * len(raw)
    return [BEST * (value - low) / (high - low) for value in raw]


def least_allocated(pod: Pod, nodes: Sequence[Node], everyone: Sequence[Node]) -> list[float]:
    """The share of cpu and memory that stays free."""
    cpu = pod.requests.get("cpu", _DEFAULT_CPU)
    memory = pod.requests.get("memory", _DEFAULT_MEMORY)
    scores = []
    for node in nodes:
        # Pods that ask for nothing count as much as this one would.
        pods = len(node.pods)
        used_cpu = max(node.requested.get("cpu", 0), pods * _DEFAULT_CPU) + cpu
        used_memory = max(node.requested.get("memory", 0), pods * _DEFAULT_MEMORY) + memory
        free = [
            max(0.0, 1.0 - used / total)
            for used, total in (
                (used_cpu, node.allocatable.get("cpu", 0)),
                (used_memory, node.allocatable.get("memory", 0)),
            )
            if total
        ]
        scores.append(BEST * sum(free) / len(free) if free else 0.0)
    return scores


def fewest_pods(pod: Pod, nodes: Sequence[Node], everyone: Sequence[Node]) -> list[float]:
    """The share of pod places that stays free; breaks ties where nobody asks for resources."""
    return [BEST * (1.0 - len(node.pods) / (node.max_pods or 1)) for node in nodes]


def owner_spread(pod: Pod, nodes: Sequence[Node], everyone: Sequence[Node]) -> list[float] | None:
    """Pods of one owner apart: what kube-scheduler's default constraints do."""
    if not pod.owner or pod.spread:
        return None
    return _lowest_is_best([float(node.owners.get(pod.owner, 0)) for node in nodes])


def topology_spread(
    pod: Pod, nodes: Sequence[Node], everyone: Sequence[Node]
) -> list[float] | None:
    soft = [constraint for constraint in pod.spread if not constraint.hard]
    if not soft:
        return None
    raw = [0.0] * len(nodes)
    for constraint in soft:
        counts = spread.counts(pod, everyone, constraint)
        for index, node in enumerate(nodes):
            place = node.labels.get(constraint.topology_key)
            missing = max(counts.values(), default=0) + 1
            raw[index] += counts.get(place, 0) if place is not None else missing
    return _lowest_is_best(raw)


def node_affinity(pod: Pod, nodes: Sequence[Node], everyone: Sequence[Node]) -> list[float] | None:
    if not pod.preferred_nodes:
        return None
    return _highest_is_best(
        [
            float(sum(w for w, term in pod.preferred_nodes if term.matches(node.name, node.labels)))
            for node in nodes
        ]
    )


def taints(pod: Pod, nodes: Sequence[Node], everyone: Sequence[Node]) -> list[float] | None:
    """Away from PreferNoSchedule taints that the pod does not tolerate."""
    if not any(node.taints for node in nodes):
        return None
    return _lowest_is_best(
        [
            float(
                sum(
                    taint.get("effect") == "PreferNoSchedule"
                    and not tolerates(pod.tolerations, taint)
                    for taint in node.taints
                )
            )
            for node in nodes
        ]
    )


def inter_pod(pod: Pod, nodes: Sequence[Node], everyone: Sequence[Node]) -> list[float] | None:
    """Near or far from others: the pod's own wishes and those of the pods that run."""
    weights: dict[tuple[str, str], float] = {}
    for node in everyone:
        if pod.preferred_pods:
            for weight, term in pod.preferred_pods:
                value = node.labels.get(term.topology_key)
                if value is not None:
                    found = sum(term.matches(o.namespace, o.labels) for o in node.pods.values())
                    key = (term.topology_key, value)
                    weights[key] = weights.get(key, 0.0) + weight * found
        for other in node.picky.values():
            for weight, term in other.preferred_pods:
                value = node.labels.get(term.topology_key)
                if value is not None and term.matches(pod.namespace, pod.labels):
                    key = (term.topology_key, value)
                    weights[key] = weights.get(key, 0.0) + weight
    if not weights:
        return None
    return _highest_is_best(
        [
            sum(w for (key, value), w in weights.items() if node.labels.get(key) == value)
            for node in nodes
        ]
    )


Score = Callable[[Pod, Sequence[Node], Sequence[Node]], list[float] | None]
SCORES: tuple[tuple[float, Score], ...] = (
    (3.0, taints),
    (2.0, node_affinity),
    (2.0, topology_spread),
    (2.0, owner_spread),
    (2.0, inter_pod),
    (1.0, least_allocated),
    (1.0, fewest_pods),
)


def best(pod: Pod, feasible: Sequence[Node], everyone: Sequence[Node]) -> Node:
    """The node with the highest score; of equals the first by name, so that runs repeat."""
    if len(feasible) == 1:
        return feasible[0]
    totals = [0.0] * len(feasible)
    for weight, score in SCORES:
        found = score(pod, feasible, everyone)
        if found is not None:
            for index, value in enumerate(found):
                totals[index] += weight * value
    ranked = sorted(range(len(feasible)), key=lambda i: (-round(totals[i], 6), feasible[i].name))
    return feasible[ranked[0]]
