"""PodDisruptionBudgets: their status, and evictions that they refuse."""

from __future__ import annotations

import pytest

from netemu.api import kinds
from netemu.controllers.disruption import desired_healthy
from netemu.errors import ApiError


def budget(**spec):
    meta = {"name": "web", "namespace": "default"}
    spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta,
        "spec": spec,
    }


async def status(cluster):
    return (await cluster.client.get(kinds.POD_DISRUPTION_BUDGETS, "web", "default"))["status"]


async def evict(cluster, pod):
    meta = {"name": pod["metadata"]["name"], "namespace": "default"}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    await cluster.client.update(kinds.PODS, eviction, subresource="eviction")


async def test_evictions_stop_where_the_budget_ends(cluster, make):
    await cluster.client.create(kinds.POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
    await cluster.client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web", 4))
    await cluster.settle()
    found = await status(cluster)
    assert (found["expectedPods"], found["desiredHealthy"], found["currentHealthy"]) == (4, 3, 4)
    assert found["disruptionsAllowed"] == 1
    cluster.kubelets.hold = lambda pod: True
    first, second, *_ = await cluster.pods(app="web")
    await evict(cluster, first)
    with pytest.raises(ApiError, match="disruption budget"):
        await evict(cluster, second)
    await cluster.settle()
    assert (await status(cluster))["disruptionsAllowed"] == 0
    cluster.kubelets.hold = lambda pod: False
    cluster.kubelets.again()
    await cluster.settle()
    assert (await status(cluster))["disruptionsAllowed"] == 1


@pytest.mark.parametrize(
    ("policy", "broken", "goes"),
    [
        (None, 4, False),
        ("IfHealthyBudget", 1, True),
        ("IfHealthyBudget", 2, False),
        ("AlwaysAllow", 4, True),
    ],
)
async def test_a_pod_that_is_not_ready_is_hardly_guarded(cluster, make, policy, broken, goes):
    more = {"unhealthyPodEvictionPolicy": policy} if policy else {}
    await cluster.client.create(kinds.POD_DISRUPTION_BUDGETS, budget(minAvailable=3, **more))
    await cluster.client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web", 4))
    await cluster.settle()
    sick = {pod["metadata"]["name"] for pod in (await cluster.pods(app="web"))[:broken]}
    cluster.kubelets.broken = lambda pod: pod["metadata"]["name"] in sick
    cluster.kubelets.again()
    await cluster.settle()
    pod = next(p for p in await cluster.pods(app="web") if p["metadata"]["name"] in sick)
    if goes:
        await evict(cluster, pod)
    else:
        with pytest.raises(ApiError, match="disruption budget"):
            await evict(cluster, pod)


async def test_pods_without_a_controller_cannot_be_counted_as_a_share(cluster, make):
    await cluster.client.create(kinds.POD_DISRUPTION_BUDGETS, budget(minAvailable="50%"))
    await cluster.client.create(kinds.PODS, make.pod("lonely", {"app": "web"}))
    await cluster.settle()
    found = await status(cluster)
    assert found["disruptionsAllowed"] == 0
    assert found["conditions"][0]["reason"] == "SyncFailed"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 2}, (5, 2)),
        ({"minAvailable": "50%"}, (6, 3)),
        ({"maxUnavailable": 1}, (6, 5)),
        ({"maxUnavailable": "30%"}, (6, 4)),
        ({"maxUnavailable": 9}, (6, 0)),
    ],
)
def test_desired_healthy(spec, expected):
    assert desired_healthy({"spec": spec}, 5, 6) == expected


async def test_a_budget_that_says_nothing_keeps_nothing_back(cluster, make):
    bare = {"metadata": {"name": "bare", "namespace": "default"}}
    await cluster.client.create(kinds.POD_DISRUPTION_BUDGETS, bare)
    await cluster.client.create(kinds.POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
    await cluster.client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web", 2))
    await cluster.settle()
    assert (await status(cluster))["disruptionsAllowed"] == 1
    found = await cluster.client.get(kinds.POD_DISRUPTION_BUDGETS, "bare", "default")
    assert found["status"]["expectedPods"] == 0
