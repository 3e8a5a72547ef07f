"""HorizontalPodAutoscalers and `top`, by the processor time that pods really use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

BURNER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: burner}
spec:
  replicas: 1
  selector: {matchLabels: {app: burner}}
  template:
    metadata: {labels: {app: burner}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: busybox
        command: [sh, -c, "while :; do if [ -e /tmp/rest ]; then sleep 0.2; fi; done"]
        resources: {requests: {cpu: 50m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: burner}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: burner}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: elsewhere}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: burner}
  maxReplicas: 3
  metrics:
  - type: Pods
    pods: {metric: {name: hits}, target: {type: AverageValue, averageValue: "1"}}
"""


@pytest.fixture(scope="module")
def busy(make_cluster: Callable[..., Any]) -> Any:
    cluster = make_cluster("busy", "--nodes", "2")
    cluster.run("apply", "-f", "-", stdin=BURNER)
    return cluster


def test_top_shows_who_burns_the_processor(busy: Any) -> None:
    pod, *_ = busy.ready_pods(app="burner")
    busy.exec(pod["metadata"]["name"], "rm", "-f", "/tmp/rest")

    def burning() -> bool:
        shown = busy.try_run("top", "pod", pod["metadata"]["name"], "--no-headers").stdout.split()
        return len(shown) == 3 and int(shown[1].removesuffix("m")) > 50

    busy.until(burning, "the processor time of a pod that burns it")
    lines = busy.run("top", "node", "--no-headers").splitlines()
    used = {line.split()[0]: int(line.split()[1].removesuffix("m")) for line in lines}
    assert used[pod["spec"]["nodeName"]] > 50


def test_what_cannot_be_measured_is_said(busy: Any) -> None:
    def told() -> Any:
        scaler = busy.get("hpa", "elsewhere")
        conditions = (scaler.get("status") or {}).get("conditions") or ()
        found = {each["type"]: (each["status"], each["reason"]) for each in conditions}
        return found if "ScalingActive" in found else None

    assert busy.until(told, "the autoscaler has looked")["ScalingActive"] == (
        "False",
        "FailedGetPodsMetric",
    )
    busy.run("delete", "hpa", "elsewhere")


def test_replicas_follow_the_load(busy: Any) -> None:
    """Up to the maximum while pods burn, down to the minimum when they rest."""
    busy.until(lambda: len(busy.ready_pods(app="burner")) == 3, "three replicas", 120)
    scaler = busy.get("hpa", "burner")
    assert scaler["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"] > 50
    busy.until(lambda: "SuccessfulRescale" in busy.run("get", "events"), "an event tells")
    for pod in busy.pods(app="burner"):
        busy.exec(pod["metadata"]["name"], "touch", "/tmp/rest")
    busy.until(lambda: len(busy.pods(app="burner")) == 1, "one replica", 180)
