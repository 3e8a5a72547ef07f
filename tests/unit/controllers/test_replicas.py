"""Which pods a shrinking ReplicaSet gives up, by table."""

from __future__ import annotations

import pytest

from netemu.controllers.replicas import desired_status, plan_scale


def pod(name, node="n1", *, ready=True, phase="Running", cost=None, created="2026-01-01T00:00:00Z"):
    since = {"type": "Ready", "status": str(ready), "lastTransitionTime": created}
    marks = {"controller.kubernetes.io/pod-deletion-cost": str(cost)} if cost is not None else {}
    return {
        "metadata": {"name": name, "creationTimestamp": created, "annotations": marks},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "conditions": [since]},
    }


def owner(replicas):
    return {"metadata": {"name": "web", "generation": 3}, "spec": {"replicas": replicas}}


@pytest.mark.parametrize(
    ("pods", "first"),
    [
        ([pod("a"), pod("b", "")], "b"),  # not on a node yet
        ([pod("a"), pod("b", phase="Pending")], "b"),
        ([pod("a"), pod("b", ready=False)], "b"),
        ([pod("a", cost=10), pod("b", cost=-1)], "b"),
        ([pod("a", "n1"), pod("b", "n2"), pod("c", "n2")], "b"),  # two on one node
        ([pod("a"), pod("b", created="2026-01-02T00:00:00Z")], "b"),  # ready for a shorter time
        ([pod("b"), pod("a")], "a"),  # all the same: by name
    ],
)
def test_the_cheapest_goes_first(pods, first):
    plan = plan_scale(owner(len(pods) - 1), pods)
    assert [victim["metadata"]["name"] for victim in plan.delete] == [first]


def test_a_burst_is_bounded():
    assert plan_scale(owner(2000), []).create == 500


def test_an_owner_on_its_way_out_does_nothing():
    leaving = owner(3)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert plan_scale(leaving, []).create == 0


def test_status_counts():
    web = {**owner(3), "status": {}}
    web["spec"]["minReadySeconds"] = 10
    leaving = pod("c")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pods = [pod("a"), pod("b", ready=False), leaving, pod("d", phase="Failed")]
    now = 1767225605.0  # five seconds after the pods became ready
    status = desired_status(web, pods, now=now, stamp="x", failure=("FailedCreate", "no"))
    assert status == {
        "replicas": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": "x",
                "reason": "FailedCreate",
                "message": "no",
            }
        ],
    }
