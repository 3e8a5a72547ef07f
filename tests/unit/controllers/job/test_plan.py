"""What a Job does next."""

from __future__ import annotations

import pytest

from netemu.api.meta import seconds_of
from netemu.controllers.job.counting import FINALIZER, count
from netemu.controllers.job.indexes import INDEX
from netemu.controllers.job.perindex import FAILURES, IGNORED
from netemu.controllers.job.plan import desired_status, plan
from netemu.controllers.job.pods import desired_worker


def test_an_absurd_parallelism_is_started_bit_by_bit():
    most = 2**31 - 1
    job = {
        "metadata": {"name": "j", "namespace": "default", "uid": "u"},
        "spec": {"parallelism": most, "completions": most, "template": {"spec": {}}},
    }
    assert plan(job, [], count(job, []), 0.0).create == 500


def indexed(completions, *, status=None, **spec):
    spec = {"completions": completions, "parallelism": completions, "backoffLimit": 99, **spec}
    spec |= {"completionMode": "Indexed", "template": {"spec": {}}}
    metadata = {"name": "j", "namespace": "default", "uid": "u"}
    return {"metadata": metadata, "spec": spec, "status": status or {}}


def pod(index, phase, *, failures=0, code=1, ended="2026-01-01T00:00:00Z"):
    notes = {INDEX: str(index), FAILURES: str(failures)}
    metadata = {"name": f"p{index}-{failures}", "namespace": "default", "annotations": notes}
    metadata |= {"uid": metadata["name"], "finalizers": [FINALIZER]}
    state = {"terminated": {"exitCode": code, "finishedAt": ended}}
    statuses = [{"name": "c", "state": state}] if phase == "Failed" else []
    status = {"phase": phase, "containerStatuses": statuses}
    return {"metadata": metadata, "spec": {"nodeName": "node-1"}, "status": status}


NOW = seconds_of("2026-01-01T00:00:00Z")


def look(job, *pods, after=0.0):
    counts = count(job, pods)
    return counts, plan(job, pods, counts, NOW + after)


def test_each_index_waits_for_itself_alone():
    job = indexed(3, backoffLimitPerIndex=2)
    pods = pod(0, "Failed", failures=1), pod(1, "Failed")
    counts, step = look(job, *pods, after=11)
    assert (step.indexes, step.again) == ((1, 2), 9)  # index 0 failed twice: 20 s
    assert counts.release == (), "not before their replacements are there"
    assert desired_worker(job, 1, counts.replace)["metadata"]["annotations"][FAILURES] == "1"
    assert desired_worker(job, 2, counts.replace)["metadata"]["annotations"][FAILURES] == "0"
    later, _ = look(job, *pods, pod(1, "Running", failures=1), after=11)
    assert [p["metadata"]["name"] for p in later.release] == ["p1-0"]


@pytest.mark.parametrize(
    ("pods", "most", "reason"),
    [
        ([pod(0, "Failed", failures=1), pod(1, "Running")], None, ""),
        ([pod(0, "Failed", failures=1), pod(1, "Running")], 0, "MaxFailedIndexesExceeded"),
        ([pod(0, "Failed", failures=1), pod(1, "Succeeded")], None, "FailedIndexes"),
        ([pod(0, "Failed", failures=0), pod(1, "Succeeded")], None, ""),
    ],
)
def test_a_job_fails_by_its_indexes(pods, most, reason):
    job = indexed(2, backoffLimitPerIndex=1, maxFailedIndexes=most)
    counts, step = look(job, *pods)
    assert [c["reason"] for c in step.conditions if c["type"] == "FailureTarget"] == (
        [reason] if reason else []
    )
    shown = desired_status(job, pods, counts, step, NOW)["failedIndexes"]
    assert shown == ("0" if pods[0]["metadata"]["name"] == "p0-1" else "")


def test_fail_index_spends_no_more_tries():
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
    job = indexed(2, backoffLimitPerIndex=5, podFailurePolicy={"rules": [rule]})
    counts, step = look(job, pod(0, "Failed", code=42), after=3600)
    assert counts.failed_indexes == {0}
    assert step.indexes == (1,)


def test_an_ignored_failure_delays_but_does_not_count():
    rule = {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}
    job = indexed(1, backoffLimitPerIndex=0, podFailurePolicy={"rules": [rule]})
    counts, step = look(job, pod(0, "Failed", code=42), after=4)
    assert (counts.failed_indexes, step.create, step.again) == (frozenset(), 0, 6)
    notes = desired_worker(job, 0, counts.replace)["metadata"]["annotations"]
    assert (notes[FAILURES], notes[IGNORED]) == ("0", "1")


@pytest.mark.parametrize(
    ("rule", "done", "met"),
    [
        ({"succeededIndexes": "0,2-3"}, [0, 2], False),
        ({"succeededIndexes": "0,2-3"}, [0, 2, 3], True),
        ({"succeededIndexes": "0,2-3", "succeededCount": 1}, [1], False),
        ({"succeededIndexes": "0,2-3", "succeededCount": 1}, [3], True),
        ({"succeededCount": 2}, [1], False),
        ({"succeededCount": 2}, [1, 4], True),
    ],
)
def test_enough_may_be_less_than_all(rule, done, met):
    job = indexed(5, successPolicy={"rules": [{"succeededCount": 5}, rule]})
    pods = [pod(i, "Succeeded" if i in done else "Running") for i in range(5)]
    _, step = look(job, *pods)
    told = [(c["type"], c["reason"], c["message"]) for c in step.conditions]
    expected = ("SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 1")
    assert told == ([expected] if met else [])
    assert len(step.delete) == (5 - len(done) if met else 0)


def test_what_is_decided_stays_decided():
    """The pods that a met policy ends fail; the Job is complete all the same."""
    told = {"type": "SuccessCriteriaMet", "status": "True", "reason": "SuccessPolicy"}
    status = {"conditions": [{**told, "message": "m"}], "completedIndexes": "0", "failed": 1}
    job = indexed(2, status=status, backoffLimit=0)
    _, step = look(job)
    assert step.finished
    assert [(c["type"], c["reason"]) for c in step.conditions][1] == ("Complete", "SuccessPolicy")


@pytest.mark.parametrize(
    ("policy", "node", "created"),
    [("TerminatingOrFailed", "node-1", 1), ("Failed", "node-1", 0), ("Failed", "", 1)],
)
def test_a_leaving_pod_is_replaced_at_once_or_after_its_end(policy, node, created):
    job = indexed(1, podReplacementPolicy=policy)
    leaving = pod(0, "Running")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    leaving["spec"]["nodeName"] = node
    counts, step = look(job, leaving, after=11)
    assert len(counts.uncounted_failed) == created
    assert step.create == (created if node else 0)
    counts, step = look(job, after=11)
    assert step.create == 1
