"""Finished pods count once; indexes are read and written as Kubernetes does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.controllers.job import indexes
from netemu.controllers.job.counting import FINALIZER, count
from netemu.controllers.job.policy import action_for


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0,1"), ([0, 1, 2, 5, 7, 8, 9], "0-2,5,7-9")],
)
def test_indexes(numbers, text):
    assert indexes.render(numbers) == text
    assert indexes.parse(text) == set(numbers)


@given(st.sets(st.integers(0, 200)))
def test_indexes_round_trip(numbers):
    assert indexes.parse(indexes.render(numbers)) == numbers


def pod(uid, phase, *, held=True, deleting=False, exit_code=None):
    meta = {"name": uid, "namespace": "default", "uid": uid}
    if held:
        meta["finalizers"] = [FINALIZER]
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = {"phase": phase}
    if exit_code is not None:
        ended = {"terminated": {"exitCode": exit_code}}
        status["containerStatuses"] = [{"name": "c", "state": ended}]
    return {"metadata": meta, "spec": {}, "status": status}


def job(status=None, **spec):
    return {"metadata": {"name": "j"}, "spec": spec, "status": status or {}}


def test_a_finished_pod_is_first_noted_then_released_then_counted():
    pods = [pod("a", "Succeeded"), pod("b", "Running")]
    first = count(job(), pods)
    assert (first.succeeded, first.uncounted_succeeded) == (0, ("a",))
    assert [p["metadata"]["uid"] for p in first.release] == ["a"]
    noted = job({"uncountedTerminatedPods": {"succeeded": ["a"]}})
    # Released, or gone altogether: it counts now, and only once.
    for later in ([pod("a", "Succeeded", held=False)], []):
        second = count(noted, later)
        assert (second.succeeded, second.uncounted_succeeded) == (1, ())
        third = count(job({"succeeded": second.succeeded}), later)
        assert third.all_succeeded == 1


def test_a_pod_that_is_deleted_before_its_end_has_failed():
    assert count(job(), [pod("a", "Running", deleting=True)]).uncounted_failed == ("a",)


@pytest.mark.parametrize(
    ("rules", "code", "expected"),
    [
        ([], 1, "Count"),
        ([("FailJob", "In", [42])], 42, "FailJob"),
        ([("FailJob", "In", [42])], 1, "Count"),
        ([("Ignore", "NotIn", [42])], 1, "Ignore"),
        ([("Count", "In", [1]), ("FailJob", "In", [1])], 1, "Count"),
    ],
)
def test_failure_policy(rules, code, expected):
    policy = {
        "rules": [
            {"action": action, "onExitCodes": {"operator": operator, "values": values}}
            for action, operator, values in rules
        ]
    }
    owner = job(podFailurePolicy=policy)
    assert action_for(owner, pod("a", "Failed", exit_code=code))[0] == expected


def test_a_disrupted_pod_is_not_the_jobs_fault():
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    owner = job(podFailurePolicy={"rules": [rule]})
    failed = pod("a", "Failed")
    failed["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    found = count(owner, [failed])
    assert found.uncounted_failed == ()
    assert [p["metadata"]["uid"] for p in found.release] == ["a"]
