"""Where a pod may run. Each file answers one question with "" or with why not.

The texts are kube-scheduler's: users search the web for them.
https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netemu.scheduler.filters import interpod, placement, ports, resources, spread, taints
from netemu.scheduler.model import Node, Pod

Filter = Callable[[Node], str]
Prepare = Callable[[Pod, Sequence[Node]], Filter | None]
"""(pod, all nodes) -> the question to ask of each node; None when the pod does not care."""

PREPARE: tuple[Prepare, ...] = (
    placement.unschedulable,
    placement.node_name,
    taints.tolerated,
    placement.node_affinity,
    ports.host_ports,
    resources.fits,
    spread.topology_spread,
    interpod.inter_pod,
)


def prepare(pod: Pod, nodes: Sequence[Node]) -> tuple[Filter, ...]:
    """The questions that matter for this pod."""
    found = (make(pod, nodes) for make in PREPARE)
    return tuple(question for question in found if question is not None)


def first_objection(filters: Sequence[Filter], node: Node) -> str:
    """Why the pod cannot run on `node`; empty when it can."""
    for question in filters:
        why = question(node)
        if why:
            return why
    return ""
