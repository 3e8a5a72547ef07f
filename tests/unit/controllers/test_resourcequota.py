"""ResourceQuotas: what is counted, and what a full one says."""

from __future__ import annotations

import pytest

from netemu.api import kinds
from netemu.api.quotarules import refusal, usage_of


def quota(**hard):
    meta = {"name": "team", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard}}


async def test_usage_is_counted(cluster, make):
    hard = {"pods": "10", "count/replicasets.apps": "5", "services.nodeports": "2"}
    await cluster.client.create(kinds.RESOURCE_QUOTAS, quota(**hard))
    await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 3))
    await cluster.client.create(kinds.SERVICES, make.service("web", type="NodePort"))
    await cluster.settle(1)
    found = await cluster.client.get(kinds.RESOURCE_QUOTAS, "team", "default")
    assert found["status"]["used"] == {
        "pods": "3",
        "count/replicasets.apps": "1",
        "services.nodeports": "1",
    }
    await cluster.client.delete(kinds.REPLICA_SETS, "web", "default")
    await cluster.settle(1)
    found = await cluster.client.get(kinds.RESOURCE_QUOTAS, "team", "default")
    assert found["status"]["used"]["pods"] == "0"


def pod(**resources):
    container = {"name": "c", "resources": resources}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container]}}


@pytest.mark.parametrize(
    ("hard", "used", "obj", "expected"),
    [
        ({"pods": "2"}, {"pods": "1"}, pod(), ""),
        (
            {"pods": "2"},
            {"pods": "2"},
            pod(),
            "exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2",
        ),
        (
            {"requests.cpu": "1"},
            {"requests.cpu": "800m"},
            pod(requests={"cpu": "300m"}),
            "exceeded quota: team, requested: requests.cpu=300m, used: requests.cpu=800m, "
            "limited: requests.cpu=1",
        ),
        (
            {"limits.memory": "1Gi"},
            {},
            pod(),
            "failed quota: team: must specify limits.memory for: c",
        ),
    ],
)
def test_refusal(hard, used, obj, expected):
    full = {**quota(**hard), "status": {"hard": hard, "used": used}}
    assert refusal([full], kinds.PODS, obj) == expected


def test_scopes_narrow_what_is_counted():
    best_effort = quota(pods="0")
    best_effort["spec"]["scopes"] = ["BestEffort"]
    assert refusal([best_effort], kinds.PODS, pod())
    assert not refusal([best_effort], kinds.PODS, pod(requests={"cpu": "1"}))


def test_finished_pods_count_as_objects_only():
    done = {**pod(requests={"cpu": "1"}), "status": {"phase": "Succeeded"}}
    assert set(usage_of(kinds.PODS, done)) == {"count/pods"}
