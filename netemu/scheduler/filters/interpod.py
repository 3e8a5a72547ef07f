"""Are the pods near that the pod wants near, and those far that it wants far? Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from netemu.scheduler.affinity import PodTerm
from netemu.scheduler.model import Node, Pod

NO_FRIEND = "node(s) didn't match pod affinity rules"
OWN_ENEMY = "node(s) didn't match pod anti-affinity rules"
FOREIGN_ENEMY = "node(s) didn't satisfy existing pods anti-affinity rules"
Places = frozenset[tuple[str, str]]
"""(topology key, value)."""


def places_of(term: PodTerm, nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """Where a pod runs that the term means."""
    for node in nodes:
        value = node.labels.get(term.topology_key)
        if value is not None and any(
            term.matches(other.namespace, other.labels) for other in node.pods.values()
        ):
            yield term.topology_key, value


def _enemies(pod: Pod, nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """Places where a running pod does not want this one."""
    for node in nodes:
        for other in node.picky.values():
            for term in other.anti_affinity:
                value = node.labels.get(term.topology_key)
                if value is not None and term.matches(pod.namespace, pod.labels):
                    yield term.topology_key, value


def _is_first(pod: Pod, nodes: Sequence[Node]) -> bool:
    """The first pod of a group that wants to be near itself has to start somewhere."""
    if not all(term.matches(pod.namespace, pod.labels) for term in pod.affinity):
        return False
    return not any(True for term in pod.affinity for _ in places_of(term, nodes))


def inter_pod(pod: Pod, nodes: Sequence[Node]) -> Callable[[Node], str] | None:
    foreign: Places = frozenset(_enemies(pod, nodes)) if any(n.picky for n in nodes) else Places()
    if not (pod.affinity or pod.anti_affinity or foreign):
        return None
    wanted = [(term.topology_key, frozenset(places_of(term, nodes))) for term in pod.affinity]
    avoided = [(term.topology_key, frozenset(places_of(term, nodes))) for term in pod.anti_affinity]
    first = bool(pod.affinity) and _is_first(pod, nodes)

    def check(node: Node) -> str:
        for key, places in wanted:
            value = node.labels.get(key)
            if value is None or ((key, value) not in places and not first):
                return NO_FRIEND
        for key, places in avoided:
            if (key, node.labels.get(key)) in places:
                return OWN_ENEMY
        if any(node.labels.get(key) == value for key, value in foreign):
            return FOREIGN_ENEMY
        return ""

    return check
