"""Which nodes a pod's nodeSelector and node affinity allow. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api.selectors import Requirement

_OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    "Gt": "gt",
    "Lt": "lt",
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


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


def _requirements(found: Any) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(
            entry["key"], _OPERATORS[entry["operator"]], frozenset(entry.get("values") or ())
        )
        for entry in found or ()
    )


def node_term(term: Mapping[str, Any]) -> NodeTerm:
    """One nodeSelectorTerm, or the preference of a preferred one."""
    return NodeTerm(
        _requirements(term.get("matchExpressions")), _requirements(term.get("matchFields"))
    )


def required_terms(affinity: Mapping[str, Any]) -> tuple[NodeTerm, ...] | None:
    """The terms of which one must match; None: any node will do."""
    required = (affinity.get("nodeAffinity") or {}).get(_REQUIRED)
    if not required:
        return None
    return tuple(node_term(term) for term in required.get("nodeSelectorTerms") or ())


def preferred_terms(affinity: Mapping[str, Any]) -> tuple[tuple[int, NodeTerm], ...]:
    """(weight, term)."""
    preferred = (affinity.get("nodeAffinity") or {}).get(_PREFERRED)
    return tuple(
        (int(entry["weight"]), node_term(entry["preference"])) for entry in preferred or ()
    )


def allows(
    selector: Mapping[str, str],
    terms: Sequence[NodeTerm] | None,
    name: str,
    labels: Mapping[str, str],
) -> bool:
    """Whether nodeSelector and required terms allow the node."""
    if not selector.items() <= labels.items():
        return False
    return terms is None or any(term.matches(name, labels) for term in terms)
