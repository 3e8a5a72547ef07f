"""Terms of affinity and spread, parsed. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netemu.api.selectors import NOTHING, LabelSelector, Requirement, from_label_selector

_OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    "Gt": "gt",
    "Lt": "lt",
}


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """All expressions and all fields must match. One without any matches no node."""

    expressions: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if not self.expressions and not self.fields:
            return False
        return all(found.matches(labels) for found in self.expressions) and all(
            found.matches({"metadata.name": name}) for found in self.fields
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTerm:
    """Pods that are meant, and the node label that says what counts as the same place."""

    selector: LabelSelector
    namespaces: frozenset[str]
    """Empty: every namespace."""
    topology_key: str

    def matches(self, namespace: str, labels: Mapping[str, str]) -> bool:
        if self.namespaces and namespace not in self.namespaces:
            return False
        return self.selector.matches(labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadConstraint:
    max_skew: int
    topology_key: str
    hard: bool
    selector: LabelSelector
    min_domains: int
    honor_affinity: bool
    honor_taints: bool


def _requirements(found: Any) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(
            entry["key"], _OPERATORS[entry["operator"]], frozenset(entry.get("values") or ())
        )
        for entry in found or ()
    )


def _node_term(term: Mapping[str, Any]) -> NodeTerm:
    return NodeTerm(
        _requirements(term.get("matchExpressions")), _requirements(term.get("matchFields"))
    )


def node_terms(affinity: Mapping[str, Any]) -> tuple[NodeTerm, ...] | None:
    required = (affinity.get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return None
    return tuple(_node_term(term) for term in required.get("nodeSelectorTerms") or ())


def preferred_node_terms(affinity: Mapping[str, Any]) -> tuple[tuple[int, NodeTerm], ...]:
    preferred = (affinity.get("nodeAffinity") or {}).get(
        "preferredDuringSchedulingIgnoredDuringExecution"
    )
    return tuple(
        (int(entry["weight"]), _node_term(entry["preference"])) for entry in preferred or ()
    )


def _pod_term(term: Mapping[str, Any], namespace: str) -> PodTerm:
    # An empty namespaceSelector means all namespaces; netemu does not look at their labels.
    everywhere = term.get("namespaceSelector") is not None
    spaces = frozenset(term.get("namespaces") or (namespace,))
    return PodTerm(
        selector=from_label_selector(term.get("labelSelector")),
        namespaces=frozenset() if everywhere else spaces,
        topology_key=term["topologyKey"],
    )


def pod_terms(affinity: Mapping[str, Any], kind: str, namespace: str) -> tuple[PodTerm, ...]:
    """Required terms of `podAffinity` or `podAntiAffinity`."""
    required = (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return tuple(_pod_term(term, namespace) for term in required or ())


def preferred_pod_terms(
    affinity: Mapping[str, Any], namespace: str
) -> tuple[tuple[int, PodTerm], ...]:
    found = []
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        preferred = (affinity.get(kind) or {}).get(
            "preferredDuringSchedulingIgnoredDuringExecution"
        )
        for entry in preferred or ():
            term = _pod_term(entry["podAffinityTerm"], namespace)
            found.append((sign * int(entry["weight"]), term))
    return tuple(found)


def spread_constraints(
    spec: Mapping[str, Any], labels: Mapping[str, str]
) -> tuple[SpreadConstraint, ...]:
    found = []
    for entry in spec.get("topologySpreadConstraints") or ():
        selector = from_label_selector(entry.get("labelSelector"))
        extra = tuple(
            Requirement(key, "in", frozenset((labels[key],)))
            for key in entry.get("matchLabelKeys") or ()
            if key in labels
        )
        if extra and selector is not NOTHING:
            selector = LabelSelector((*selector.requirements, *extra))
        found.append(
            SpreadConstraint(
                max_skew=int(entry.get("maxSkew") or 1),
                topology_key=entry["topologyKey"],
                hard=entry.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
                selector=selector,
                min_domains=int(entry.get("minDomains") or 1),
                honor_affinity=entry.get("nodeAffinityPolicy", "Honor") == "Honor",
                honor_taints=entry.get("nodeTaintsPolicy", "Ignore") == "Honor",
            )
        )
    return tuple(found)
