"""Why a pod runs nowhere, in kube-scheduler's words. Pure.

0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/3 nodes
are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for
incoming pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from netemu.scheduler.filters import interpod, spread
from netemu.scheduler.filters.resources import TOO_MANY

NO_NODES = "no nodes available to schedule pods"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
_HELPED = (TOO_MANY, "Insufficient ", "node(s) didn't have free ports")
_HELPED_EXACT = (spread.SKEWED, interpod.OWN_ENEMY, interpod.FOREIGN_ENEMY)


def preemption_may_help(why: str) -> bool:
    """Whether the objection would go away if pods left the node."""
    return why.startswith(_HELPED) or why in _HELPED_EXACT


def _histogram(reasons: Mapping[str, str]) -> str:
    counted = Counter(reasons.values())
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))


def explain(reasons: Mapping[str, str], *, preempted: bool = True) -> str:
    """`reasons`: node -> why not. `preempted`: whether preemption was tried, in vain."""
    if not reasons:
        return NO_NODES
    total = len(reasons)
    text = f"0/{total} nodes are available: {_histogram(reasons)}."
    if not preempted:
        return text
    vain = {
        node: NO_VICTIMS if preemption_may_help(why) else NOT_HELPFUL
        for node, why in reasons.items()
    }
    return f"{text} preemption: 0/{total} nodes are available: {_histogram(vain)}."
