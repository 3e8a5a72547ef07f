"""The decision for one pod: a node, or every node's objection. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netemu.scheduler import filters, scores
from netemu.scheduler.model import Node, Pod

ENOUGH = 100
"""With more nodes than this, the search ends when so many would do (kube-scheduler's minimum)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    node: str = ""
    reasons: dict[str, str] = field(default_factory=dict)
    """Node -> why not; complete when `node` is empty."""
    looked_at: int = 0


def decide(pod: Pod, nodes: Sequence[Node], start: int = 0) -> Decision:
    """Ask the nodes one after the other, from `start` on, and take the best that would do."""
    questions = filters.prepare(pod, nodes)
    reasons: dict[str, str] = {}
    feasible: list[Node] = []
    looked_at = 0
    for offset in range(len(nodes)):
        node = nodes[(start + offset) % len(nodes)]
        looked_at += 1
        why = filters.first_objection(questions, node)
        if why:
            reasons[node.name] = why
        else:
            feasible.append(node)
            if len(feasible) >= ENOUGH:
                break
    if not feasible:
        return Decision(reasons=reasons, looked_at=looked_at)
    return Decision(
        node=scores.best(pod, feasible, nodes).name, reasons=reasons, looked_at=looked_at
    )
