"""ReplicaSet and ReplicationController against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds


async def test_it_makes_replaces_and_removes_pods(cluster, make):
    client = cluster.client
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 3))
    await cluster.until(lambda: ready(cluster, "web", 3))
    first, *_ = await cluster.pods(app="web")
    await client.delete(kinds.PODS, first["metadata"]["name"], "default")
    await cluster.until(lambda: gone(cluster, first))
    await cluster.until(lambda: ready(cluster, "web", 3))
    await client.patch(kinds.REPLICA_SETS, "web", "default", {"spec": {"replicas": 1}})
    await cluster.until(lambda: ready(cluster, "web", 1))
    await cluster.settle()
    assert len(await cluster.pods(app="web")) == 1


async def test_it_never_makes_too_many_however_late_it_hears_of_them(start_cluster, make):
    async with start_cluster(lag=30) as cluster:
        await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 15))
        seen = 0
        while not await ready(cluster, "web", 15):
            seen = max(seen, len(await cluster.pods(app="web")))
            # An annotation is reason enough for another look, while the pods are not to be seen.
            patch = {"metadata": {"annotations": {"round": str(cluster.server.cache.revision)}}}
            await cluster.client.patch(kinds.REPLICA_SETS, "web", "default", patch)
            await cluster.moved()
        assert seen == 15 == len(await cluster.pods(app="web"))


async def test_it_adopts_orphans_and_releases_what_no_longer_matches(cluster, make):
    client = cluster.client
    orphan = await client.create(kinds.PODS, make.pod("orphan", {"app": "web"}))
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 2))
    await cluster.until(lambda: ready(cluster, "web", 2))
    adopted = await client.get(kinds.PODS, "orphan", "default")
    assert adopted["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    assert adopted["metadata"]["uid"] == orphan["metadata"]["uid"]
    patch = {"metadata": {"labels": {"app": "other"}}}
    await client.patch(kinds.PODS, "orphan", "default", patch)
    await cluster.settle()
    released = await client.get(kinds.PODS, "orphan", "default")
    assert not released["metadata"].get("ownerReferences")
    assert len(await cluster.pods(app="web")) == 2


async def test_finished_pods_are_replaced(cluster, make):
    client = cluster.client
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 2))
    await cluster.until(lambda: ready(cluster, "web", 2))
    pod = (await cluster.pods(app="web"))[0]
    status = {**pod["status"], "phase": "Failed"}
    await client.update(kinds.PODS, {**pod, "status": status}, subresource="status")
    await cluster.until(lambda: ready(cluster, "web", 2))
    await cluster.settle()
    phases = sorted(pod["status"]["phase"] for pod in await cluster.pods(app="web"))
    assert phases == ["Failed", "Running", "Running"]


async def test_min_ready_seconds_delay_availability(cluster, make):
    owner = make.workload("ReplicaSet", "web", 2, minReadySeconds=30)
    await cluster.client.create(kinds.REPLICA_SETS, owner)
    await cluster.until(lambda: ready(cluster, "web", 2))
    status = (await cluster.client.get(kinds.REPLICA_SETS, "web", "default"))["status"]
    assert not status.get("availableReplicas")
    await cluster.settle(31)
    status = (await cluster.client.get(kinds.REPLICA_SETS, "web", "default"))["status"]
    assert status["availableReplicas"] == 2


async def test_replication_controller(cluster, make):
    owner = make.workload("ReplicationController", "old", 2)
    owner["apiVersion"] = "v1"
    owner["spec"]["selector"] = {"app": "old"}
    await cluster.client.create(kinds.REPLICATION_CONTROLLERS, owner)

    async def up():
        found = await cluster.client.get(kinds.REPLICATION_CONTROLLERS, "old", "default")
        return (found.get("status") or {}).get("readyReplicas") == 2

    await cluster.until(up)


async def test_a_refused_template_is_told(cluster, make):
    owner = make.workload("ReplicaSet", "web", 5)
    owner["spec"]["template"]["spec"]["containers"][0]["name"] = "Not_A_Label"
    # The server would refuse this template; a quota or a webhook refuses later, so go around it.
    created = cluster.client.create

    async def refuse(resource, obj):
        if resource.plural == "pods":
            from netemu.errors import ApiError

            raise ApiError("Forbidden", "pods is forbidden: exceeded quota")
        return await created(resource, obj)

    controller = next(c for c in cluster.manager.controllers if c.name == "replicaset")
    cluster.client.create = refuse
    assert controller.client is cluster.client
    owner["spec"]["template"]["spec"]["containers"][0]["name"] = "c"
    await created(kinds.REPLICA_SETS, owner)

    async def told():
        found = await cluster.client.get(kinds.REPLICA_SETS, "web", "default")
        return (found.get("status") or {}).get("conditions")

    (condition,) = await cluster.until(told)
    assert condition["type"] == "ReplicaFailure"
    assert condition["reason"] == "FailedCreate"
    assert "exceeded quota" in condition["message"]
    cluster.client.create = created


async def ready(cluster, name, count):
    found = await cluster.client.get(kinds.REPLICA_SETS, name, "default")
    status = found.get("status") or {}
    return status.get("readyReplicas", 0) == count == status.get("replicas", 0)


async def gone(cluster, pod):
    return all(found["metadata"]["uid"] != pod["metadata"]["uid"] for found in await cluster.pods())
