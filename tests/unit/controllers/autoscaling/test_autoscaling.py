"""HorizontalPodAutoscaler: the arithmetic by table, the whole in memory."""

from __future__ import annotations

import re

import pytest

from netemu.api import kinds
from netemu.controllers.autoscaling.behavior import History, limit
from netemu.controllers.autoscaling.calculate import MetricError, Tolerance, propose
from netemu.controllers.autoscaling.controller import HorizontalPodAutoscalerController

CPU50 = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}


def pod(name, *, ready=True, phase="Running", request="100m"):
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    container = {"name": "c", "resources": {"requests": {"cpu": request} if request else {}}}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [container]},
        "status": {"phase": phase, "conditions": [condition]},
    }


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ([50, 50], 2),  # on target
        ([54, 54], 2),  # within the tolerance
        ([100, 100], 4),
        ([10, 10], 1),
        ([100, None], 2),  # the missing one counts as idle when growing
        ([10, None], 2),  # and as busy when shrinking
    ],
)
def test_replicas_for_usage(usage, expected):
    pods = [pod(f"p{i}") for i in range(len(usage))]
    figures = {f"p{i}": {"c": {"cpu": value}} for i, value in enumerate(usage) if value is not None}
    assert propose(CPU50, pods, figures, len(pods), 0.0).replicas == expected


@pytest.mark.parametrize(
    ("used", "expected"), [(54, 2), (64, 2), (68, 3), (46, 2), (24, 1), (26, 2)]
)
def test_each_direction_may_have_its_own_tolerance(used, expected):
    behavior = {"scaleUp": {"tolerance": "300m"}, "scaleDown": {"tolerance": "0.5"}}
    pods, figures = [pod("a"), pod("b")], {name: {"c": {"cpu": used}} for name in "ab"}
    tolerance = Tolerance.of({"behavior": behavior})
    assert propose(CPU50, pods, figures, 2, 0.0, tolerance).replicas == expected


def test_no_tolerance_is_one_too():
    figures = {"a": {"c": {"cpu": 51}}}
    assert propose(CPU50, [pod("a")], figures, 1, 0.0).replicas == 1
    exact = Tolerance.of({"behavior": {"scaleUp": {"tolerance": "0"}}})
    assert propose(CPU50, [pod("a")], figures, 1, 0.0, exact).replicas == 2


def test_a_pod_without_a_request_has_no_utilisation():
    figures = {"p": {"c": {"cpu": 10}}}
    with pytest.raises(MetricError, match="missing request for cpu"):
        propose(CPU50, [pod("p", request=None)], figures, 1, 0.0)


def test_growth_is_limited_and_shrinking_waits():
    spec, history = {"minReplicas": 1, "maxReplicas": 100}, History()
    first = limit(spec, 1, 50, history, 1000.0)
    assert (first.replicas, first.reason) == (5, "ScaleUpLimit")
    history.changes.append((1000.0, 4))
    assert limit(spec, 5, 50, history, 1005.0).replicas == 5
    assert limit(spec, 5, 50, history, 1016.0).replicas == 10
    down = limit(spec, 10, 2, history, 1100.0)
    assert (down.replicas, down.stabilized) == (10, True)
    assert limit(spec, 10, 2, history, 1016.0 + 301).replicas == 2


def test_bounds():
    spec = {"minReplicas": 2, "maxReplicas": 4}
    assert limit(spec, 3, 9, History(), 0.0).reason == "TooManyReplicas"
    quick = {**spec, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    found = limit(quick, 4, 0, History(), 0.0)
    assert (found.replicas, found.reason) == (2, "TooFewReplicas")


class Load:
    """Every pod uses the same share of its request."""

    def __init__(self, cluster):
        self.cluster, self.milli, self.asked = cluster, 50, 0

    async def usage(self, namespace):
        self.asked += 1
        return {
            p["metadata"]["name"]: {"c": {"cpu": self.milli}} for p in await self.cluster.pods()
        }


async def test_up_and_down_with_the_load(cluster, make):
    load = Load(cluster)
    scaler = next(
        c for c in cluster.manager.controllers if isinstance(c, HorizontalPodAutoscalerController)
    )
    scaler._metrics = load
    deployment = make.workload("Deployment", "web", 2)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "100m"}}
    await cluster.client.create(kinds.DEPLOYMENTS, deployment)
    await cluster.settle(31)
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1,
            "maxReplicas": 6,
            "metrics": [CPU50],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
        },
    }
    load.milli = 100
    await cluster.client.create(kinds.HORIZONTAL_POD_AUTOSCALERS, hpa)
    await cluster.settle()
    assert len(await cluster.pods()) == 4
    load.milli = 50
    await cluster.settle(31)
    assert len(await cluster.pods()) == 4
    load.milli = 10
    await cluster.settle(30)
    assert len(await cluster.pods()) == 4  # stabilised
    await cluster.settle(90)
    assert len(await cluster.pods()) == 1
    assert load.asked <= 14  # once a period, whatever was written
    found = await cluster.client.get(kinds.HORIZONTAL_POD_AUTOSCALERS, "web", "default")
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["ScalingActive"] == "True"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, 'deployments.apps "web" not found'),
        ({"apiVersion": "v1", "kind": "ReplicationController"}, 'replicationcontrollers "web" not'),
        ({"apiVersion": "x.io/v1", "kind": "Web"}, 'no matches for kind "Web" in group "x.io"'),
    ],
)
async def test_a_target_that_is_not_there_is_named(cluster, target, why):
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"scaleTargetRef": {**target, "name": "web"}, "maxReplicas": 6, "metrics": [CPU50]},
    }
    await cluster.client.create(kinds.HORIZONTAL_POD_AUTOSCALERS, hpa)
    await cluster.settle()
    found = await cluster.client.get(kinds.HORIZONTAL_POD_AUTOSCALERS, "web", "default")
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("AbleToScale", "FailedGetScale")
    prefix = "the HPA controller was unable to get the target's current scale: "
    assert condition["message"].startswith(prefix + why)
    events = (await cluster.client.list(kinds.EVENTS, "default")).items
    assert any(e["reason"] == "FailedGetScale" and why in e["message"] for e in events)


def other(kind, **source):
    return {"type": kind, kind[0].lower() + kind[1:]: source}


@pytest.mark.parametrize(
    ("metric", "reason", "text"),
    [
        (
            other("Pods", metric={"name": "hits"}),
            "FailedGetPodsMetric",
            "unable to get metric hits: unable to fetch metrics from custom metrics API: "
            "no custom metrics API (custom.metrics.k8s.io) registered",
        ),
        (other("Object", metric={"name": "q"}), "FailedGetObjectMetric", "get metric q: "),
        (other("External", metric={"name": "q"}), "FailedGetExternalMetric", "no external metrics"),
        (
            other("ContainerResource", container="x", **CPU50["resource"]),
            "FailedGetContainerResourceMetric",
            "no metrics returned",
        ),
    ],
)
def test_what_cannot_be_measured_says_why(metric, reason, text):
    with pytest.raises(MetricError, match=re.escape(text)) as caught:
        propose(metric, [pod("p")], {"p": {"c": {"cpu": 50}}}, 1, 0.0)
    assert caught.value.reason == reason


def test_one_containers_usage_counts_alone():
    metric = other("ContainerResource", container="c", **CPU50["resource"])
    usage = {"p": {"c": {"cpu": 100}, "side": {"cpu": 900}}}
    assert propose(metric, [pod("p")], usage, 1, 0.0).replicas == 2


@pytest.mark.parametrize(
    ("behavior", "proposed", "expected"),
    [
        ({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}, 9, 5),
        ({"scaleUp": {"selectPolicy": "Disabled"}}, 9, 4),
        ({"scaleUp": {"selectPolicy": "Min"}}, 20, 8),
        ({"scaleDown": {"stabilizationWindowSeconds": 0}}, 1, 1),
        ({"scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}}, 1, 4),
        ({"scaleUp": {"stabilizationWindowSeconds": 600}}, 9, 4),
    ],
)
def test_behavior_bounds_each_step(behavior, proposed, expected):
    spec = {"minReplicas": 1, "maxReplicas": 30, "behavior": behavior}
    history = History()
    history.proposals.append((-60.0, 4))
    assert limit(spec, 4, proposed, history, 0.0).replicas == expected
