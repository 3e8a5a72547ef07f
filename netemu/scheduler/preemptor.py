"""The acting part of preemption: nominate a node, tell and delete the victims.

Until the victims have left, the place is kept: less important pods are placed as if the nominated
pod were there already.
https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from netemu.aio import Clock
from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import timestamp, uid
from netemu.api.selectors import from_label_selector
from netemu.client.informers import Informers
from netemu.client.protocol import ApiClient
from netemu.errors import ApiError
from netemu.scheduler.model import Node, Pod
from netemu.scheduler.preemption import Preemption, plan_preemption
from netemu.scheduler.recorder import Recorder

log = logging.getLogger(__name__)


class Preemptor:
    def __init__(
        self, client: ApiClient, informers: Informers, clock: Clock, events: Recorder
    ) -> None:
        self._client, self._clock, self._events = client, clock, events
        self._pods = informers.of(kinds.PODS)
        self._budgets = informers.of(kinds.POD_DISRUPTION_BUDGETS)
        self._nominated: dict[str, tuple[Pod, str]] = {}

    def forget(self, pod: str) -> None:
        """The pod with that uid is bound or gone."""
        self._nominated.pop(pod, None)

    def node_of(self, pod: str) -> str:
        """The node that was cleared for the pod with that uid; empty when none was."""
        return self._nominated.get(pod, (None, ""))[1]

    def seen_by(self, pod: Pod, nodes: Sequence[Node]) -> Sequence[Node]:
        """The nodes with the places that are kept for others, as far as `pod` must respect them."""
        kept: dict[str, list[Pod]] = {}
        for other, node in self._nominated.values():
            if other.uid != pod.uid and other.priority >= pod.priority:
                kept.setdefault(node, []).append(other)
        if not kept:
            return nodes
        return [_with(node, kept[node.name]) if node.name in kept else node for node in nodes]

    def plan(
        self, pod: Pod, nodes: Sequence[Node], reasons: Mapping[str, str]
    ) -> Preemption | None:
        """What to clear for `pod`; None when nothing helps, or while victims are leaving."""
        nominated = self.node_of(pod.uid)
        if nominated and any(
            other.terminating and other.priority < pod.priority
            for node in nodes
            if node.name == nominated
            for other in node.pods.values()
        ):
            return None
        return plan_preemption(pod, nodes, reasons, self._protected)

    def is_waiting(self, pod: Pod) -> bool:
        return pod.uid in self._nominated

    def nominate(self, pod: Pod, choice: Preemption) -> None:
        self._nominated[pod.uid] = (pod, choice.node)

    def _protected(self, pod: Pod) -> bool:
        """Whether a PodDisruptionBudget would be broken."""
        for budget in self._budgets.objects.values():
            if budget["metadata"]["namespace"] != pod.namespace:
                continue
            selector = from_label_selector(budget["spec"].get("selector"))
            if selector.matches(pod.labels):
                return not (budget.get("status") or {}).get("disruptionsAllowed")
        return False

    async def evict(self, pod: Pod, choice: Preemption) -> None:
        """Tell the victims and delete them; say at the pod where it will run."""
        for victim in choice.victims:
            await self._evict_one(pod, victim, choice.node)
        patch = {"status": {"nominatedNodeName": choice.node}}
        try:
            await self._client.patch(
                kinds.PODS, pod.name, pod.namespace, patch, subresource="status"
            )
        except (ApiError, OSError) as error:
            log.debug("not nominated", extra={"kv": {"pod": pod.key, "error": str(error)}})

    async def _evict_one(self, pod: Pod, victim: Pod, node: str) -> None:
        present = self._pods.get(victim.key)
        if present is None or uid(present) != victim.uid:
            return
        text = f"Preempted by pod {pod.uid} on node {node}"
        self._events.event(present, kinds.PODS, "Normal", "Preempted", text)
        patch = {"status": {"conditions": self._disrupted(present)}}
        try:
            await self._client.patch(
                kinds.PODS, victim.name, victim.namespace, patch, subresource="status"
            )
            await self._client.delete(kinds.PODS, victim.name, victim.namespace, uid=victim.uid)
        except (ApiError, OSError) as error:
            log.debug("not preempted", extra={"kv": {"pod": victim.key, "error": str(error)}})

    def _disrupted(self, pod: Object) -> list[Object]:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        kept = [found for found in conditions if found["type"] != "DisruptionTarget"]
        told = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(self._clock.now()),
            "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
        }
        return [*kept, told]


def _with(node: Node, pods: Sequence[Pod]) -> Node:
    copy = node.without(frozenset())
    for pod in pods:
        copy.add(pod)
    return copy
