"""Which endpoints a node uses for a ServicePort: one decision that every mode shares.

Traffic policies, topology hints and the terminating fallback all end here, so that no mode has its
own opinion. The rules are kube-proxy's CategorizeEndpoints:
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/topology.go (KEP-1669, 2086, 2433).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netemu.proxy.model import Endpoint, NodeView, ServicePort


@dataclass(frozen=True, slots=True)
class Decision:
    """`cluster` serves Cluster-policy traffic, `local` serves Local-policy traffic.

    `exists`: some endpoint somewhere could serve. It tells REJECT (none) from DROP (none *here*).
    `others`, of a UDP port: those that serve and that no rule of this node chooses. A client that
    talks to one goes on, as it would over TCP: policies and hints are for new connections.
    """

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    exists: bool = False
    others: tuple[Endpoint, ...] = ()

    @property
    def reachable(self) -> tuple[Endpoint, ...]:
        """Everything that rules of this node may choose, sorted."""
        if not self.local:
            return self.cluster
        if not self.cluster:
            return self.local
        return tuple(sorted({*self.cluster, *self.local}, key=lambda e: e.text))


NOTHING = Decision()


@dataclass(frozen=True, slots=True)
class Service:
    """A ServicePort with what was decided for it: a compiler's unit of work."""

    port: ServicePort
    endpoints: Decision

    @property
    def internal(self) -> tuple[Endpoint, ...]:
        """What ClusterIP traffic may reach."""
        return self.endpoints.local if self.port.internal_local else self.endpoints.cluster

    @property
    def external(self) -> tuple[Endpoint, ...]:
        """What traffic from outside may reach, short circuits aside."""
        return self.endpoints.local if self.port.external_local else self.endpoints.cluster


def _by_hints(ready: Sequence[Endpoint], node: NodeView) -> Sequence[Endpoint]:
    """Those hinted for this node, else for this zone, else all.

    All or nothing: one ready endpoint without a hint, or none for us, and the hints don't count.
    """
    if not ready:
        return ready
    if all(e.node_hints for e in ready):
        ours = [e for e in ready if node.name in e.node_hints]
        if ours:
            return ours
    if node.zone and all(e.zone_hints for e in ready):
        ours = [e for e in ready if node.zone in e.zone_hints]
        if ours:
            return ours
    return ready


def _fallback(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    return [e for e in endpoints if e.serving and e.terminating]


def decide(port: ServicePort, endpoints: Sequence[Endpoint], node: NodeView) -> Decision:
    """The endpoints of `port` that `node` uses; `endpoints` are sorted, and so is the answer."""
    if not endpoints:
        return NOTHING
    chosen = _choose(port, endpoints, node)
    if port.protocol != "udp":
        return chosen
    reachable = frozenset(chosen.reachable)
    return replace(chosen, others=tuple(e for e in endpoints if e.serving and e not in reachable))


def _choose(port: ServicePort, endpoints: Sequence[Endpoint], node: NodeView) -> Decision:
    ready = [e for e in endpoints if e.ready]
    cluster: Sequence[Endpoint] = ()
    if port.uses_cluster_endpoints:
        cluster = _by_hints(ready, node) or _fallback(endpoints)
    if not port.uses_local_endpoints:
        return Decision(tuple(cluster), (), bool(cluster))
    here = [e for e in endpoints if e.node == node.name]
    local = [e for e in here if e.ready] or _fallback(here)
    exists = bool(ready) or any(e.serving and e.terminating for e in endpoints)
    return Decision(tuple(cluster), tuple(local), exists)
