"""What a proxy answers to load balancers and to /healthz."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netemu.node.healthcheck import ServiceHealth, answer, healthz

NODE: dict[str, Any] = {"metadata": {"name": "node-1"}, "spec": {}}


@pytest.mark.parametrize(
    ("endpoints", "healthy", "status"), [(2, True, 200), (0, True, 503), (2, False, 503)]
)
def test_service_health(endpoints: int, healthy: bool, status: int) -> None:
    told = answer(ServiceHealth("d", "s", endpoints), proxy_healthy=healthy)
    assert told.status == status
    assert json.loads(told.body) == {
        "service": {"namespace": "d", "name": "s"},
        "localEndpoints": endpoints,
        "serviceProxyHealthy": healthy,
    }
    assert told.headers["X-Load-Balancing-Endpoint-Weight"] == str(endpoints)
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    head = told.encode().decode().split("\r\n\r\n")[0]
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert f"Content-Length: {len(told.body)}" in head


def status_of(path: str, node: dict[str, Any] | None, healthy: bool = True) -> int:
    return healthz(path, node=node, healthy=healthy, updated=1.0, now=2.0).status


def test_healthz_and_livez() -> None:
    tainted = {**NODE, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}}
    deleting = {"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert status_of("/healthz", NODE) == 200
    assert [status_of("/healthz", node) for node in (tainted, deleting, None)] == [503] * 3
    assert [status_of("/livez", node) for node in (tainted, deleting, None)] == [200] * 3
    assert status_of("/healthz", NODE, healthy=False) == 503
    assert status_of("/livez", NODE, healthy=False) == 503
    assert status_of("/other", NODE) == 404
