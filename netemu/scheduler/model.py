"""What the scheduler looks at, made once from the API's objects. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#scheduling
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netemu.api.amounts import Amounts, pod_requests
from netemu.api.kind import Object
from netemu.api.meta import controller_of, is_deleting, labels, name, namespace, uid
from netemu.api.nodeaffinity import NodeTerm, preferred_terms, required_terms
from netemu.scheduler.affinity import (
    Namespaces,
    PodTerm,
    SpreadConstraint,
    pod_terms,
    preferred_pod_terms,
    spread_constraints,
)

HostPort = tuple[str, str, int]
"""(address, protocol, port)."""
_SYSTEM_PRIORITIES = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod, as far as scheduling goes."""

    key: str
    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    node_name: str
    owner: str
    """Uid of its controller: pods of one owner spread over the nodes."""
    priority: int
    may_preempt: bool
    requests: Amounts
    host_ports: tuple[HostPort, ...]
    node_selector: Mapping[str, str]
    required_nodes: tuple[NodeTerm, ...] | None
    """One of these terms must match the node; None: any node will do."""
    preferred_nodes: tuple[tuple[int, NodeTerm], ...]
    affinity: tuple[PodTerm, ...]
    anti_affinity: tuple[PodTerm, ...]
    preferred_pods: tuple[tuple[int, PodTerm], ...]
    """(weight, term); a negative weight pushes away."""
    spread: tuple[SpreadConstraint, ...]
    tolerations: tuple[Mapping[str, Any], ...]
    claims: tuple[str, ...]
    created: str
    terminating: bool
    gated: bool


def _host_ports(spec: Mapping[str, Any]) -> tuple[HostPort, ...]:
    found = []
    for container in spec.get("containers") or ():
        for port in container.get("ports") or ():
            number = port.get("hostPort")
            if not number and spec.get("hostNetwork"):
                number = port.get("containerPort")
            if number:
                address = port.get("hostIP") or "0.0.0.0"
                found.append((address, port.get("protocol") or "TCP", int(number)))
    return tuple(found)


def _claims(obj: Object) -> tuple[str, ...]:
    return tuple(
        volume["persistentVolumeClaim"]["claimName"]
        for volume in obj["spec"].get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    )


def priority_of(spec: Mapping[str, Any]) -> int:
    if spec.get("priority") is not None:
        return int(spec["priority"])
    return _SYSTEM_PRIORITIES.get(spec.get("priorityClassName") or "", 0)


def pod_from_object(obj: Object, namespaces: Namespaces | None = None) -> Pod:
    """`namespaces`: the labels of each, for terms that select pods by their namespace's."""
    spec = obj["spec"]
    affinity = spec.get("affinity") or {}
    space, owner = namespace(obj), controller_of(obj)
    return Pod(
        key=f"{space}/{name(obj)}",
        uid=uid(obj),
        namespace=space,
        name=name(obj),
        labels=labels(obj),
        node_name=spec.get("nodeName") or "",
        owner=owner["uid"] if owner else "",
        priority=priority_of(spec),
        may_preempt=spec.get("preemptionPolicy") != "Never",
        requests=pod_requests(spec),
        host_ports=_host_ports(spec),
        node_selector=spec.get("nodeSelector") or {},
        required_nodes=required_terms(affinity),
        preferred_nodes=preferred_terms(affinity),
        affinity=pod_terms(affinity, "podAffinity", space, namespaces),
        anti_affinity=pod_terms(affinity, "podAntiAffinity", space, namespaces),
        preferred_pods=preferred_pod_terms(affinity, space, namespaces),
        spread=spread_constraints(spec, labels(obj)),
        tolerations=tuple(spec.get("tolerations") or ()),
        claims=_claims(obj),
        created=obj["metadata"].get("creationTimestamp") or "",
        terminating=is_deleting(obj),
        gated=bool(spec.get("schedulingGates")),
    )


@dataclass(slots=True, kw_only=True)
class Node:
    """A node and the pods on it. The cache adds and removes pods; filters and scores only read."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, Any], ...] = ()
    unschedulable: bool = False
    allocatable: Amounts = field(default_factory=dict)
    max_pods: int = 110
    pods: dict[str, Pod] = field(default_factory=dict)
    """By uid."""
    requested: dict[str, int] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    """Pods of each owner."""
    picky: dict[str, Pod] = field(default_factory=dict)
    """Its pods that have affinity terms of their own."""

    def add(self, pod: Pod) -> None:
        if pod.uid in self.pods:
            self.remove(pod.uid)
        self.pods[pod.uid] = pod
        for resource, amount in pod.requests.items():
            self.requested[resource] = self.requested.get(resource, 0) + amount
        if pod.owner:
            self.owners[pod.owner] = self.owners.get(pod.owner, 0) + 1
        if pod.anti_affinity or pod.affinity or pod.preferred_pods:
            self.picky[pod.uid] = pod

    def remove(self, uid: str) -> Pod | None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return None
        self.picky.pop(uid, None)
        for resource, amount in pod.requests.items():
            self.requested[resource] -= amount
        if pod.owner:
            self.owners[pod.owner] -= 1
            if not self.owners[pod.owner]:
                del self.owners[pod.owner]
        return pod

    def without(self, uids: frozenset[str]) -> Node:
        """A copy without some of its pods: what would be if they were gone."""
        left = Node(
            name=self.name,
            labels=self.labels,
            taints=self.taints,
            unschedulable=self.unschedulable,
            allocatable=self.allocatable,
            max_pods=self.max_pods,
        )
        for pod in self.pods.values():
            if pod.uid not in uids:
                left.add(pod)
        return left
