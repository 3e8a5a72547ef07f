"""Terms of affinity and spread, parsed. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netemu.api.selectors import NOTHING, LabelSelector, Requirement, from_label_selector


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


Namespaces = Mapping[str, Mapping[str, str]]
"""Name of a namespace -> its labels."""


def _pod_term(term: Mapping[str, Any], namespace: str, known: Namespaces | None) -> PodTerm:
    """The namespaces that are named, those that the selector means now, or the pod's own."""
    selector = term.get("namespaceSelector")
    named = frozenset(term.get("namespaces") or ())
    if selector is None:
        spaces = named or frozenset((namespace,))
    elif not selector or known is None:
        spaces = frozenset()
    else:
        wanted = from_label_selector(selector)
        spaces = named | {space for space, labels in known.items() if wanted.matches(labels)}
        spaces = spaces or frozenset(("",))  # none at all, which is not the same as all
    return PodTerm(
        selector=from_label_selector(term.get("labelSelector")),
        namespaces=spaces,
        topology_key=term["topologyKey"],
    )


def pod_terms(
    affinity: Mapping[str, Any], kind: str, namespace: str, known: Namespaces | None = None
) -> tuple[PodTerm, ...]:
    """Required terms of `podAffinity` or `podAntiAffinity`."""
    required = (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return tuple(_pod_term(term, namespace, known) for term in required or ())


def preferred_pod_terms(
    affinity: Mapping[str, Any], namespace: str, known: Namespaces | None = None
) -> tuple[tuple[int, PodTerm], ...]:
    """(weight, term); those of podAntiAffinity have a negative weight."""
    found = []
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        preferred = (affinity.get(kind) or {}).get(
            "preferredDuringSchedulingIgnoredDuringExecution"
        )
        for entry in preferred or ():
            term = _pod_term(entry["podAffinityTerm"], namespace, known)
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
