"""What a proxy answers over HTTP: on the port that a load balancer asks, and at /healthz.

A load balancer learns from healthCheckNodePort which nodes have endpoints of a Service, so that it
sends nothing to the others.
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/healthcheck/service_health.go
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from netemu.api import meta
from netemu.api.kind import Object

HEALTHZ_PORT = 10256
_TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """What one healthCheckNodePort says."""

    namespace: str
    name: str
    local_endpoints: int


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    headers: Mapping[str, str]

    def encode(self) -> bytes:
        reason = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}[self.status]
        body = self.body.encode()
        fields = {**self.headers, "Content-Length": str(len(body)), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} {reason}\r\n{head}\r\n".encode() + body


def answer(health: ServiceHealth, *, proxy_healthy: bool) -> Answer:
    """200 while the node has a ready endpoint and the proxy works, else 503."""
    good = health.local_endpoints > 0 and proxy_healthy
    body = {
        "service": {"namespace": health.namespace, "name": health.name},
        "localEndpoints": health.local_endpoints,
        "serviceProxyHealthy": proxy_healthy,
    }
    headers = {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": str(health.local_endpoints),
    }
    return Answer(200 if good else 503, json.dumps(body, indent="\t"), headers)


def _is_eligible(node: Object | None) -> bool:
    """Whether load balancers should still send new connections to this node."""
    if node is None or meta.is_deleting(node):
        return False
    taints = (node.get("spec") or {}).get("taints") or ()
    return not any(taint.get("key") == _TO_BE_DELETED for taint in taints)


def healthz(path: str, *, node: Object | None, healthy: bool, updated: float, now: float) -> Answer:
    """`/healthz`: rules are up to date and the node stays; `/livez`: rules are up to date."""
    if path not in ("/healthz", "/livez"):
        return Answer(404, "404 page not found\n", {"Content-Type": "text/plain"})
    eligible = _is_eligible(node)
    body = {
        "lastUpdated": meta.micro_timestamp(updated),
        "currentTime": meta.micro_timestamp(now),
        "nodeEligible": eligible,
    }
    good = healthy and (eligible or path == "/livez")
    headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return Answer(200 if good else 503, json.dumps(body), headers)
