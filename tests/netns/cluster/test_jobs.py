"""Jobs and CronJobs with real pods: each index once, failures by index, histories."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec:
  completions: 3
  parallelism: 3
  completionMode: Indexed
  MORE
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: busybox, command: [sh, -c, 'SCRIPT']}]
"""
CRON = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "0 0 1 1 *"
  timeZone: Europe/Berlin
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 1
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: busybox, command: ["true"]}]
"""


@pytest.fixture(scope="module")
def works(make_cluster: Callable[..., Any]) -> Any:
    return make_cluster("works", "--nodes", "2")


def job(name: str, script: str, more: str = "") -> str:
    return JOB.replace("NAME", name).replace("SCRIPT", script).replace("MORE", more)


def ended(cluster: Any, name: str) -> tuple[str, str]:
    """(Complete or Failed, the reason)."""

    def condition() -> tuple[str, str] | None:
        conditions = cluster.get("job", name)["status"].get("conditions") or ()
        found = [each for each in conditions if each["type"] in ("Complete", "Failed")]
        return (found[0]["type"], found[0]["reason"]) if found else None

    told: tuple[str, str] = cluster.until(condition, f"job {name} ends")
    return told


def test_a_job_runs_each_index_once(works: Any) -> None:
    script = "echo index $JOB_COMPLETION_INDEX on $(hostname)"
    works.run("apply", "-f", "-", "--no-wait", stdin=job("sums", script))
    assert ended(works, "sums") == ("Complete", "CompletionsReached")
    assert works.get("job", "sums")["status"]["completedIndexes"] == "0-2"
    pods = works.get("pods", "-l", "job-name=sums")["items"]
    said = sorted(works.run("logs", pod["metadata"]["name"]) for pod in pods)
    assert said == [f"index {number} on sums-{number}\n" for number in range(3)]


def test_an_index_fails_by_itself(works: Any) -> None:
    """Exit code 42 gives up on its index alone; the others go on to their end."""
    codes = "{operator: In, values: [42]}"
    policy = f"podFailurePolicy: {{rules: [{{action: FailIndex, onExitCodes: {codes}}}]}}"
    script = "[ $JOB_COMPLETION_INDEX != 1 ] || exit 42"
    manifest = job("some", script, f"backoffLimitPerIndex: 3\n  {policy}")
    works.run("apply", "-f", "-", "--no-wait", stdin=manifest)
    assert ended(works, "some") == ("Failed", "FailedIndexes")
    status = works.get("job", "some")["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1")
    assert (status["succeeded"], status["failed"]) == (2, 1)


def test_a_success_policy_ends_the_rest(works: Any) -> None:
    script = "[ $JOB_COMPLETION_INDEX = 0 ] || exec sleep infinity"
    more = "successPolicy: {rules: [{succeededIndexes: '0'}]}"
    works.run("apply", "-f", "-", "--no-wait", stdin=job("first", script, more))
    assert ended(works, "first") == ("Complete", "SuccessPolicy")
    works.until(lambda: len(works.pods(**{"job-name": "first"})) == 1, "the others are ended")


def test_a_pod_is_replaced_only_after_its_end(works: Any) -> None:
    script = "trap '' TERM; while :; do sleep 0.1; done".replace("'", '"')
    more = "podReplacementPolicy: Failed"
    works.run("apply", "-f", "-", "--no-wait", stdin=job("slow", script, more))
    pods = works.until(lambda: _running(works, "slow", 3), "three run")
    name = pods[0]["metadata"]["name"]
    works.run("delete", "pod", name, "--grace-period", "3", "--wait=false")
    assert len(works.get("pods", "-l", "job-name=slow")["items"]) == 3, "not replaced yet"
    works.until(lambda: works.get("job", "slow")["status"].get("failed") == 1, "it has failed")
    works.run("delete", "job", "slow", "--wait=false")


def _running(cluster: Any, name: str, count: int) -> list[Any]:
    pods = [
        pod for pod in cluster.pods(**{"job-name": name}) if pod["status"]["phase"] == "Running"
    ]
    return pods if len(pods) == count else []


def test_a_cron_job_makes_up_for_the_last_time_and_keeps_its_history_short(works: Any) -> None:
    works.run("apply", "-f", "-", "--no-wait", stdin=CRON)
    cron = works.get("cronjob", "tick")
    for number in range(3):
        made = {**cron["spec"]["jobTemplate"], "apiVersion": "batch/v1", "kind": "Job"}
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "controller": True}
        owners = [{**owner, "uid": cron["metadata"]["uid"]}]
        made["metadata"] = {"name": f"tick-{number}", "ownerReferences": owners}
        works.run("apply", "-f", "-", "--no-wait", stdin=json.dumps(made))
        assert ended(works, f"tick-{number}") == ("Complete", "CompletionsReached")
    works.until(lambda: len(made_by_cron(works)) == 1, "one finished job is kept")
    (kept,) = made_by_cron(works)
    past = '{"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}'
    works.run("patch", "cronjob", "tick", "--subresource", "status", "--type", "merge", "-p", past)
    every = '{"spec": {"schedule": "* * * * *"}}'
    works.run("patch", "cronjob", "tick", "--type", "merge", "-p", every)
    works.until(lambda: made_by_cron(works) not in ([], [kept]), "the missed time is made up for")
    works.until(lambda: works.get("cronjob", "tick")["status"].get("lastSuccessfulTime"), "it ran")


def made_by_cron(cluster: Any) -> list[str]:
    names = []
    for each in cluster.get("jobs")["items"]:
        owners = each["metadata"].get("ownerReferences") or [{}]
        if owners[0].get("kind") == "CronJob":
            names.append(each["metadata"]["name"])
    return names
