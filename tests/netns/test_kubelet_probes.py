"""Probes: what they ask, and what follows from the answer."""

from __future__ import annotations

from typing import Any

import pytest

import kubelets
from kubelets import restarts, sh


async def test_readiness_follows_the_probe_and_liveness_restarts_in_place(cluster: Any) -> None:
    times = {"periodSeconds": 1, "timeoutSeconds": 60}
    probe = {"exec": {"command": ["test", "-e", "/tmp/ok"]}, **times}
    alive = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, **times}
    container = sh(
        "sleep 1000",
        readinessProbe={**probe, "failureThreshold": 1},
        livenessProbe={**alive, "failureThreshold": 1},
    )
    await cluster.create("p", container, terminationGracePeriodSeconds=0)
    before = await cluster.until("p", lambda p: "running" in kubelets.status_of(p).get("state", {}))
    assert not kubelets.is_ready(before)
    await cluster.run("p", "touch", "/tmp/ok")
    await cluster.ready("p")
    await cluster.run("p", "rm", "/tmp/ok")
    await cluster.until("p", lambda p: not kubelets.is_ready(p))
    await cluster.run("p", "touch", "/tmp/sick")
    after = await cluster.until("p", lambda p: restarts(p) == 1)
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert "failed liveness probe, will be restarted" in await cluster.until_event("p", "Killing")


@pytest.mark.parametrize(
    "probe", [{"httpGet": {"path": "/x", "port": "web"}}, {"tcpSocket": {"port": 80}}]
)
async def test_network_probes_start_at_the_node(cluster: Any, probe: dict[str, Any]) -> None:
    web = {
        "image": "nginx",
        "ports": [{"name": "web", "containerPort": 80}],
        "readinessProbe": probe,
    }
    await cluster.create("p", web)
    await cluster.ready("p")
    if "httpGet" in probe:
        log = await cluster.logs("p")
        assert log.startswith("10.244.0.1 - - ") and '"GET /x HTTP/1.1" 200' in log
