"""The cluster as the scheduler sees it: nodes, the pods on them, and pods it has just placed.

A pod counts on its node from the moment it is chosen ("assumed"), long before the informer shows
the binding; otherwise the next pod would be placed as if that one were not there.
https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/backend/cache/cache.go
"""

from __future__ import annotations

from netemu.api.amounts import amount, amounts
from netemu.api.kind import Object
from netemu.api.meta import labels, name
from netemu.scheduler.model import Node, Pod


class SchedulerCache:
    def __init__(self, max_pods: int) -> None:
        """`max_pods`: of a node whose status does not say it."""
        self._max_pods = max_pods
        self._nodes: dict[str, Node] = {}
        self._known: set[str] = set()
        """Nodes that exist; a pod may name one that does not (yet)."""
        self._where: dict[str, str] = {}
        """Pod uid -> node."""
        self._ordered: list[Node] | None = None

    def nodes(self) -> list[Node]:
        """The nodes that exist, in the order in which they came."""
        if self._ordered is None:
            self._ordered = [node for name, node in self._nodes.items() if name in self._known]
        return self._ordered

    def set_node(self, obj: Object) -> bool:
        """Take over a node's facts; whether that may make room for a pod."""
        node = self._nodes.setdefault(name(obj), Node(name=name(obj)))
        before = self._facts(node) if name(obj) in self._known else None
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        node.labels = labels(obj)
        node.taints = tuple(spec.get("taints") or ())
        node.unschedulable = bool(spec.get("unschedulable"))
        allocatable = status.get("allocatable") or status.get("capacity") or {}
        node.allocatable = amounts({k: v for k, v in allocatable.items() if k != "pods"})
        pods = allocatable.get("pods")
        node.max_pods = self._max_pods if pods is None else amount("pods", str(pods))
        if name(obj) not in self._known:
            self._known.add(name(obj))
            self._ordered = None
        return before != self._facts(node)

    @staticmethod
    def _facts(node: Node) -> tuple[object, ...]:
        return node.labels, node.taints, node.unschedulable, node.allocatable, node.max_pods

    def remove_node(self, named: str) -> None:
        self._known.discard(named)
        self._ordered = None
        node = self._nodes.get(named)
        if node is not None and not node.pods:
            del self._nodes[named]

    def place(self, pod: Pod, node: str) -> None:
        """The pod is on `node`, or will be: assumed and confirmed are the same."""
        there = self._where.get(pod.uid)
        if there is not None and there != node:
            self.forget(pod.uid)
        self._where[pod.uid] = node
        self._nodes.setdefault(node, Node(name=node)).add(pod)

    def forget(self, uid: str) -> bool:
        """The pod is gone, has finished, or could not be bound; whether it was anywhere."""
        node = self._nodes.get(self._where.pop(uid, ""))
        if node is None:
            return False
        node.remove(uid)
        if not node.pods and node.name not in self._known:
            del self._nodes[node.name]
        return True

    def node_of(self, uid: str) -> str:
        return self._where.get(uid, "")
