"""Background, foreground and orphan deletion, against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds
from netemu.api.meta import owner_reference


def config(name, *owners):
    meta = {"name": name, "namespace": "default", "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def plain_reference(owner):
    return {**owner_reference(owner, kinds.CONFIG_MAPS), "controller": False}


async def names(cluster):
    items = (await cluster.client.list(kinds.CONFIG_MAPS, "default")).items
    return sorted(obj["metadata"]["name"] for obj in items if "crt" not in obj["metadata"]["name"])


async def test_background_takes_dependents_of_dependents(cluster):
    client = cluster.client
    top = await client.create(kinds.CONFIG_MAPS, config("top"))
    middle = await client.create(kinds.CONFIG_MAPS, config("middle", plain_reference(top)))
    await client.create(kinds.CONFIG_MAPS, config("leaf", plain_reference(middle)))
    await cluster.settle()
    assert await names(cluster) == ["leaf", "middle", "top"]
    await client.delete(kinds.CONFIG_MAPS, "top", "default")
    await cluster.settle()
    assert await names(cluster) == []


async def test_another_owner_keeps_it(cluster):
    client = cluster.client
    one = await client.create(kinds.CONFIG_MAPS, config("one"))
    two = await client.create(kinds.CONFIG_MAPS, config("two"))
    owners = (plain_reference(one), plain_reference(two))
    await client.create(kinds.CONFIG_MAPS, config("child", *owners))
    await client.delete(kinds.CONFIG_MAPS, "one", "default")
    await cluster.settle()
    child = await client.get(kinds.CONFIG_MAPS, "child", "default")
    assert [o["name"] for o in child["metadata"]["ownerReferences"]] == ["two"]


async def test_orphan_leaves_the_pods(cluster, make):
    client = cluster.client
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 2))
    await cluster.settle()
    await client.delete(kinds.REPLICA_SETS, "web", "default", propagation_policy="Orphan")
    await cluster.settle()
    assert (await client.list(kinds.REPLICA_SETS, "default")).items == []
    pods = await cluster.pods(app="web")
    assert len(pods) == 2
    assert not any(pod["metadata"].get("ownerReferences") for pod in pods)


async def test_foreground_waits_for_the_pods(cluster, make):
    client = cluster.client
    await client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web", 2))
    await cluster.settle()
    cluster.kubelets.linger = lambda pod: True
    await client.delete(kinds.DEPLOYMENTS, "web", "default", propagation_policy="Foreground")
    await cluster.settle()
    waiting = await client.get(kinds.DEPLOYMENTS, "web", "default")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert all("deletionTimestamp" in pod["metadata"] for pod in await cluster.pods())
    cluster.kubelets.linger = lambda pod: False
    cluster.kubelets.again()
    await cluster.settle()
    assert (await client.list(kinds.DEPLOYMENTS, "default")).items == []
    assert (await client.list(kinds.REPLICA_SETS, "default")).items == []


async def test_a_child_of_nobody_known_goes(cluster):
    stranger = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "never-was",
        "uid": "00000000-0000-4000-8000-000000000000",
    }
    await cluster.client.create(kinds.CONFIG_MAPS, config("child", stranger))
    await cluster.settle()
    assert await names(cluster) == []


async def test_an_owner_of_an_unknown_kind_is_left_alone(cluster):
    stranger = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "a", "uid": "b"}
    await cluster.client.create(kinds.CONFIG_MAPS, config("child", stranger))
    await cluster.settle()
    assert await names(cluster) == ["child"]
