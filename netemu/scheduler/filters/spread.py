"""Would the pod make its kind too crowded in one place? Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netemu.scheduler.affinity import SpreadConstraint
from netemu.scheduler.filters.placement import matches_node
from netemu.scheduler.filters.taints import untolerated
from netemu.scheduler.model import Node, Pod

SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = f"{SKEWED} (missing required label)"


def counts(pod: Pod, nodes: Sequence[Node], constraint: SpreadConstraint) -> dict[str, int]:
    """Matching pods in each place; places where the pod may not run do not count."""
    found: dict[str, int] = {}
    for node in nodes:
        place = node.labels.get(constraint.topology_key)
        if place is None or not _counts_in(pod, node, constraint):
            continue
        found[place] = found.get(place, 0) + matching(pod, node, constraint)
    return found


def _counts_in(pod: Pod, node: Node, constraint: SpreadConstraint) -> bool:
    if constraint.honor_affinity and not matches_node(pod, node):
        return False
    return not (constraint.honor_taints and untolerated(pod, node) is not None)


def matching(pod: Pod, node: Node, constraint: SpreadConstraint) -> int:
    return sum(
        other.namespace == pod.namespace
        and not other.terminating
        and constraint.selector.matches(other.labels)
        for other in node.pods.values()
    )


def topology_spread(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    hard = [constraint for constraint in pod.spread if constraint.hard]
    if not hard:
        return None
    prepared = []
    for constraint in hard:
        found = counts(pod, nodes, constraint)
        least = min(found.values(), default=0)
        if len(found) < constraint.min_domains:
            least = 0
        itself = int(constraint.selector.matches(pod.labels))
        prepared.append((constraint, found, least, itself))

    def check(node: Node) -> str:
        for constraint, found, least, itself in prepared:
            place = node.labels.get(constraint.topology_key)
            if place is None:
                return NO_LABEL
            if found.get(place, 0) + itself - least > constraint.max_skew:
                return SKEWED
        return ""

    return check
