"""Deployments from first apply to rollback, against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds


async def deployed(cluster, name, replicas, image):
    """All replicas are Ready, of that image, and none other is left."""
    found = await cluster.client.get(kinds.DEPLOYMENTS, name, "default")
    status = found.get("status") or {}
    pods = await cluster.pods(app=name)
    return (
        status.get("availableReplicas", 0) == replicas
        and status.get("updatedReplicas", 0) == replicas == len(pods)
        and all(pod["spec"]["containers"][0]["image"] == image for pod in pods)
    )


async def sets(cluster):
    items = (await cluster.client.list(kinds.REPLICA_SETS, "default")).items
    return sorted(items, key=lambda rs: int(rs["metadata"]["annotations"][REVISION]))


REVISION = "deployment.kubernetes.io/revision"


def image_patch(image):
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}


async def progressing(cluster, name="web"):
    found = await cluster.client.get(kinds.DEPLOYMENTS, name, "default")
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == "Progressing"), None)


async def test_rolling_update_stays_within_its_bounds(cluster, make):
    client = cluster.client
    deployment = make.workload("Deployment", "web", 10)
    deployment["spec"]["strategy"] = {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1},
    }
    await client.create(kinds.DEPLOYMENTS, deployment)
    await cluster.until(lambda: deployed(cluster, "web", 10, "nginx"))
    await cluster.settle()
    await client.patch(kinds.DEPLOYMENTS, "web", "default", image_patch("nginx:2"))
    most, least = 0, 10
    while not await deployed(cluster, "web", 10, "nginx:2"):
        pods = [
            p for p in await cluster.pods(app="web") if "deletionTimestamp" not in p["metadata"]
        ]
        up = [p for p in pods if (p.get("status") or {}).get("phase") == "Running"]
        most, least = max(most, len(pods)), min(least, len(up))
        await cluster.moved()
    assert most <= 12
    assert least >= 9
    await cluster.settle()
    old, new = await sets(cluster)
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, 10)
    assert (await progressing(cluster))["reason"] == "NewReplicaSetAvailable"
    found = await client.get(kinds.DEPLOYMENTS, "web", "default")
    assert found["metadata"]["annotations"][REVISION] == "2"
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


async def test_recreate_stops_all_before_it_starts_any(cluster, make):
    client = cluster.client
    deployment = make.workload("Deployment", "web", 3, strategy={"type": "Recreate"})
    await client.create(kinds.DEPLOYMENTS, deployment)
    await cluster.until(lambda: deployed(cluster, "web", 3, "nginx"))
    cluster.kubelets.linger = lambda pod: True
    await client.patch(kinds.DEPLOYMENTS, "web", "default", image_patch("nginx:2"))
    await cluster.settle()
    images = {pod["spec"]["containers"][0]["image"] for pod in await cluster.pods(app="web")}
    assert images == {"nginx"}
    cluster.kubelets.linger = lambda pod: False
    cluster.kubelets.again()
    await cluster.until(lambda: deployed(cluster, "web", 3, "nginx:2"))


async def test_a_bad_version_stops_and_rolls_back(cluster, make):
    client = cluster.client
    deployment = make.workload("Deployment", "web", 4, progressDeadlineSeconds=60)
    await client.create(kinds.DEPLOYMENTS, deployment)
    await cluster.until(lambda: deployed(cluster, "web", 4, "nginx"))
    await cluster.settle()
    cluster.kubelets.broken = lambda pod: pod["spec"]["containers"][0]["image"] == "bad"
    await client.patch(kinds.DEPLOYMENTS, "web", "default", image_patch("bad"))
    await cluster.settle()
    up = [
        pod
        for pod in await cluster.pods(app="web")
        if pod["spec"]["containers"][0]["image"] == "nginx"
    ]
    assert len(up) == 3  # 25 % of 4 may be missing
    await cluster.settle(62)
    stuck = await progressing(cluster)
    assert (stuck["status"], stuck["reason"]) == ("False", "ProgressDeadlineExceeded")
    await client.patch(kinds.DEPLOYMENTS, "web", "default", image_patch("nginx"))
    await cluster.until(lambda: deployed(cluster, "web", 4, "nginx"))
    await cluster.settle()
    good = [rs for rs in await sets(cluster) if rs["spec"]["replicas"]]
    assert [rs["metadata"]["annotations"][REVISION] for rs in good] == ["3"]
    assert (await progressing(cluster))["status"] == "True"


async def test_pause_holds_the_template_back_but_not_the_size(cluster, make):
    client = cluster.client
    await client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web", 2))
    await cluster.until(lambda: deployed(cluster, "web", 2, "nginx"))
    await client.patch(kinds.DEPLOYMENTS, "web", "default", {"spec": {"paused": True}})
    await client.patch(kinds.DEPLOYMENTS, "web", "default", image_patch("nginx:2"))
    await client.patch(kinds.DEPLOYMENTS, "web", "default", {"spec": {"replicas": 4}})
    await cluster.settle()
    pods = await cluster.pods(app="web")
    assert [pod["spec"]["containers"][0]["image"] for pod in pods] == ["nginx"] * 4
    assert (await progressing(cluster))["reason"] == "DeploymentPaused"
    await client.patch(kinds.DEPLOYMENTS, "web", "default", {"spec": {"paused": None}})
    await cluster.until(lambda: deployed(cluster, "web", 4, "nginx:2"))


async def test_history_is_kept_to_its_limit(cluster, make):
    client = cluster.client
    deployment = make.workload("Deployment", "web", 1, revisionHistoryLimit=2)
    await client.create(kinds.DEPLOYMENTS, deployment)
    await cluster.until(lambda: deployed(cluster, "web", 1, "nginx"))
    for version in range(2, 6):
        await client.patch(kinds.DEPLOYMENTS, "web", "default", image_patch(f"nginx:{version}"))
        await cluster.until(lambda v=version: deployed(cluster, "web", 1, f"nginx:{v}"))
        await cluster.settle()
    revisions = [rs["metadata"]["annotations"][REVISION] for rs in await sets(cluster)]
    assert revisions == ["3", "4", "5"]


async def test_deleting_it_deletes_everything_below(cluster, make):
    client = cluster.client
    await client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web", 3))
    await cluster.until(lambda: deployed(cluster, "web", 3, "nginx"))
    await client.delete(kinds.DEPLOYMENTS, "web", "default")
    await cluster.settle()
    assert await cluster.pods() == []
    assert await sets(cluster) == []
