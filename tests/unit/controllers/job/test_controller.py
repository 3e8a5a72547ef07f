"""Jobs, against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds


def job(make, **spec):
    template = make.template("work", restartPolicy=spec.pop("restartPolicy", "Never"))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def status(cluster):
    return (await cluster.client.get(kinds.JOBS, "work", "default")).get("status") or {}


async def condition(cluster):
    found = (await status(cluster)).get("conditions") or ()
    ended = [c for c in found if c["type"] in ("Complete", "Failed") and c["status"] == "True"]
    return (ended[0]["type"], ended[0]["reason"]) if ended else None


async def test_completions_with_parallelism(cluster, make):
    running = 0
    cluster.kubelets.outcome = lambda pod: ""
    await cluster.client.create(kinds.JOBS, job(make, completions=5, parallelism=2))
    await cluster.settle()
    running = len(await cluster.pods(app="work"))
    assert running == 2
    cluster.kubelets.outcome = lambda pod: "Succeeded"
    cluster.kubelets.again()
    await cluster.settle()
    assert await condition(cluster) == ("Complete", "CompletionsReached")
    found = await status(cluster)
    assert found["succeeded"] == 5
    assert "completionTime" in found
    pods = await cluster.pods(app="work")
    assert len(pods) == 5
    assert not any(pod["metadata"].get("finalizers") for pod in pods)


async def test_indexed_pods_know_their_index(cluster, make):
    owner = job(make, completions=3, parallelism=3, completionMode="Indexed")
    cluster.kubelets.outcome = lambda pod: "Succeeded"
    await cluster.client.create(kinds.JOBS, owner)
    await cluster.settle()
    assert (await status(cluster))["completedIndexes"] == "0-2"
    pods = await cluster.pods(app="work")
    assert sorted(pod["spec"]["hostname"] for pod in pods) == ["work-0", "work-1", "work-2"]
    indexes = {
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods
    }
    assert indexes == {"0", "1", "2"}
    env = pods[0]["spec"]["containers"][0]["env"]
    assert env[0]["name"] == "JOB_COMPLETION_INDEX"


async def test_failures_back_off_and_then_end_it(cluster, make):
    cluster.kubelets.outcome = lambda pod: "Failed"
    await cluster.client.create(kinds.JOBS, job(make, backoffLimit=2))
    await cluster.settle()
    assert len(await cluster.pods(app="work")) == 1
    await cluster.settle(11)
    assert len(await cluster.pods(app="work")) == 2
    assert await condition(cluster) is None
    await cluster.settle(21)
    assert await condition(cluster) == ("Failed", "BackoffLimitExceeded")
    assert (await status(cluster))["failed"] == 3


async def test_active_deadline(cluster, make):
    await cluster.client.create(kinds.JOBS, job(make, activeDeadlineSeconds=30))
    await cluster.settle()
    assert await condition(cluster) is None
    await cluster.settle(31)
    assert await condition(cluster) == ("Failed", "DeadlineExceeded")
    assert await cluster.pods(app="work") == []


async def test_ttl_deletes_it_with_its_pods(cluster, make):
    cluster.kubelets.outcome = lambda pod: "Succeeded"
    await cluster.client.create(kinds.JOBS, job(make, ttlSecondsAfterFinished=20))
    await cluster.settle()
    assert await condition(cluster) == ("Complete", "CompletionsReached")
    await cluster.settle(25)
    assert (await cluster.client.list(kinds.JOBS, "default")).items == []
    assert await cluster.pods(app="work") == []


async def test_suspend_and_resume(cluster, make):
    await cluster.client.create(kinds.JOBS, job(make, suspend=True))
    await cluster.settle()
    assert await cluster.pods(app="work") == []
    await cluster.client.patch(kinds.JOBS, "work", "default", {"spec": {"suspend": False}})
    await cluster.settle()
    assert len(await cluster.pods(app="work")) == 1
    await cluster.client.patch(kinds.JOBS, "work", "default", {"spec": {"suspend": True}})
    await cluster.settle()
    assert await cluster.pods(app="work") == []
    found = await status(cluster)
    assert not found.get("failed")
    assert [c["reason"] for c in found["conditions"]] == ["JobSuspended"]


async def test_pod_failure_policy_fails_at_once(cluster, make):
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    cluster.kubelets.outcome = lambda pod: "Failed"
    cluster.kubelets.exit_code = 42
    await cluster.client.create(kinds.JOBS, job(make, podFailurePolicy={"rules": [rule]}))
    await cluster.settle()
    assert await condition(cluster) == ("Failed", "PodFailurePolicy")


async def test_a_deleted_job_lets_go_of_its_pods(cluster, make):
    await cluster.client.create(kinds.JOBS, job(make, parallelism=2, completions=2))
    await cluster.settle()
    await cluster.client.delete(kinds.JOBS, "work", "default", propagation_policy="Background")
    await cluster.settle()
    assert await cluster.pods(app="work") == []


async def test_each_index_fails_by_itself(cluster, make):
    """Index 1 never succeeds: it is tried again with its own delays, and the others go on."""

    def outcome(pod):
        index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        return "Failed" if index == "1" else "Succeeded"

    cluster.kubelets.outcome = outcome
    owner = job(make, completions=4, parallelism=2, completionMode="Indexed")
    owner["spec"]["backoffLimitPerIndex"] = 1
    await cluster.client.create(kinds.JOBS, owner)
    await cluster.settle()
    found = await status(cluster)
    assert (found["completedIndexes"], found["failedIndexes"]) == ("0,2,3", "")
    assert await condition(cluster) is None
    await cluster.settle(11)
    found = await status(cluster)
    assert (found["failedIndexes"], found["failed"], found["succeeded"]) == ("1", 2, 3)
    assert await condition(cluster) == ("Failed", "FailedIndexes")
    assert not any(pod["metadata"].get("finalizers") for pod in await cluster.pods(app="work"))


async def test_a_success_policy_ends_what_still_runs(cluster, make):
    def outcome(pod):
        index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        return "Succeeded" if index == "0" else ""

    cluster.kubelets.outcome = outcome
    owner = job(make, completions=3, parallelism=3, completionMode="Indexed")
    owner["spec"]["successPolicy"] = {"rules": [{"succeededIndexes": "0"}]}
    await cluster.client.create(kinds.JOBS, owner)
    await cluster.settle()
    assert await condition(cluster) == ("Complete", "SuccessPolicy")
    assert len(await cluster.pods(app="work")) == 1


async def test_a_job_that_is_managed_elsewhere_is_left_alone(cluster, make):
    await cluster.client.create(kinds.JOBS, job(make, managedBy="example.com/queue"))
    await cluster.settle()
    assert await cluster.pods(app="work") == []
