"""DaemonSets, against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds


def daemon(make, **spec):
    owner = make.workload("DaemonSet", "agent", 0, **spec)
    del owner["spec"]["replicas"]
    return owner


async def where(cluster, image=None):
    return sorted(
        pod["spec"].get("nodeName", "?")
        for pod in await cluster.pods(app="agent")
        if image in (None, pod["spec"]["containers"][0]["image"])
    )


async def test_every_node_gets_one_also_later_ones(cluster, make):
    await cluster.client.create(kinds.DAEMON_SETS, daemon(make))
    await cluster.settle()
    assert await where(cluster) == ["node-1", "node-2", "node-3"]
    await cluster.add_node("node-4")
    await cluster.settle()
    assert await where(cluster) == ["node-1", "node-2", "node-3", "node-4"]
    found = await cluster.client.get(kinds.DAEMON_SETS, "agent", "default")
    assert found["status"]["numberReady"] == found["status"]["desiredNumberScheduled"] == 4


async def test_node_selector_and_taints(cluster, make):
    owner = daemon(make)
    owner["spec"]["template"]["spec"]["nodeSelector"] = {"role": "edge"}
    await cluster.client.create(kinds.DAEMON_SETS, owner)
    await cluster.settle()
    assert await where(cluster) == []
    for node in ("node-1", "node-2"):
        patch = {"metadata": {"labels": {"role": "edge"}}}
        await cluster.client.patch(kinds.NODES, node, "", patch)
    await cluster.settle()
    assert await where(cluster) == ["node-1", "node-2"]
    taint = {"key": "dedicated", "value": "db", "effect": "NoExecute"}
    await cluster.client.patch(kinds.NODES, "node-2", "", {"spec": {"taints": [taint]}})
    await cluster.settle()
    assert await where(cluster) == ["node-1"]


async def test_a_cordoned_node_keeps_its_daemon(cluster, make):
    await cluster.client.patch(kinds.NODES, "node-2", "", {"spec": {"unschedulable": True}})
    await cluster.client.create(kinds.DAEMON_SETS, daemon(make))
    await cluster.settle()
    assert await where(cluster) == ["node-1", "node-2", "node-3"]


async def test_rolling_update_one_after_the_other(cluster, make):
    await cluster.client.create(kinds.DAEMON_SETS, daemon(make))
    await cluster.settle()
    cluster.kubelets.hold = lambda pod: pod["spec"]["containers"][0]["image"] == "v2"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}}
    await cluster.client.patch(kinds.DAEMON_SETS, "agent", "default", patch)
    await cluster.settle()
    assert len(await where(cluster, "v2")) == 1
    assert len(await where(cluster, "nginx")) == 2
    cluster.kubelets.hold = lambda pod: False
    cluster.kubelets.again()
    await cluster.settle()
    assert await where(cluster, "v2") == ["node-1", "node-2", "node-3"]
    found = await cluster.client.get(kinds.DAEMON_SETS, "agent", "default")
    assert found["status"]["updatedNumberScheduled"] == 3


async def test_surge_starts_the_new_one_beside_the_old_one(cluster, make):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await cluster.client.create(kinds.DAEMON_SETS, daemon(make, updateStrategy=strategy))
    await cluster.settle()
    cluster.kubelets.hold = lambda pod: pod["spec"]["containers"][0]["image"] == "v2"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}}
    await cluster.client.patch(kinds.DAEMON_SETS, "agent", "default", patch)
    await cluster.settle()
    assert len(await where(cluster, "v2")) == 1
    assert len(await where(cluster, "nginx")) == 3
    cluster.kubelets.hold = lambda pod: False
    cluster.kubelets.again()
    await cluster.settle()
    assert await where(cluster) == await where(cluster, "v2") == ["node-1", "node-2", "node-3"]


async def test_on_delete_waits_for_the_user(cluster, make):
    owner = daemon(make, updateStrategy={"type": "OnDelete"})
    await cluster.client.create(kinds.DAEMON_SETS, owner)
    await cluster.settle()
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}}
    await cluster.client.patch(kinds.DAEMON_SETS, "agent", "default", patch)
    await cluster.settle()
    assert await where(cluster, "v2") == []
    victim = (await cluster.pods(app="agent"))[0]
    await cluster.client.delete(kinds.PODS, victim["metadata"]["name"], "default")
    await cluster.settle()
    assert await where(cluster, "v2") == [victim["spec"]["nodeName"]]


async def test_a_failed_daemon_is_replaced(cluster, make):
    await cluster.client.create(kinds.DAEMON_SETS, daemon(make))
    await cluster.settle()
    pod = (await cluster.pods(app="agent"))[0]
    status = {**pod["status"], "phase": "Failed"}
    await cluster.client.update(kinds.PODS, {**pod, "status": status}, subresource="status")
    await cluster.settle()
    assert await where(cluster) == ["node-1", "node-2", "node-3"]
    assert {p["status"]["phase"] for p in await cluster.pods(app="agent")} == {"Running"}
