"""Namespaces: what they get when they come, and how they are emptied when they go."""

from __future__ import annotations

from netemu.api import kinds


async def namespaces(cluster):
    return [n["metadata"]["name"] for n in (await cluster.client.list(kinds.NAMESPACES)).items]


async def test_a_new_namespace_gets_an_account_and_the_root_certificate(cluster):
    await cluster.client.create(kinds.NAMESPACES, {"metadata": {"name": "team"}})
    await cluster.settle()
    assert await cluster.client.get(kinds.SERVICE_ACCOUNTS, "default", "team")
    config = await cluster.client.get(kinds.CONFIG_MAPS, "kube-root-ca.crt", "team")
    assert config["data"] == {"ca.crt": "PEM"}
    await cluster.client.delete(kinds.SERVICE_ACCOUNTS, "default", "team")
    await cluster.settle()
    assert await cluster.client.get(kinds.SERVICE_ACCOUNTS, "default", "team")


async def test_pods_go_before_the_rest(cluster, make):
    client = cluster.client
    await client.create(kinds.NAMESPACES, {"metadata": {"name": "team"}})
    owner = make.workload("ReplicaSet", "web", 2)
    owner["metadata"]["namespace"] = "team"
    await client.create(kinds.REPLICA_SETS, owner)
    await cluster.settle()
    cluster.kubelets.linger = lambda pod: True
    await client.delete(kinds.NAMESPACES, "team")
    await cluster.settle()
    assert (await client.list(kinds.CONFIG_MAPS, "team")).items
    found = await client.get(kinds.NAMESPACES, "team")
    assert found["status"]["phase"] == "Terminating"
    conditions = {c["type"]: c for c in found["status"]["conditions"]}
    remaining = conditions["NamespaceContentRemaining"]
    assert remaining["message"] == ("Some resources are remaining: pods. has 2 resource instances")
    cluster.kubelets.linger = lambda pod: False
    cluster.kubelets.again()
    await cluster.settle(1)
    assert "team" not in await namespaces(cluster)
    assert (await client.list(kinds.REPLICA_SETS, "team")).items == []


async def test_a_finalizer_is_told_and_waited_for(cluster):
    client = cluster.client
    await client.create(kinds.NAMESPACES, {"metadata": {"name": "team"}})
    meta = {"name": "held", "namespace": "team", "finalizers": ["example.com/hold"]}
    await client.create(kinds.CONFIG_MAPS, {"metadata": meta})
    await client.delete(kinds.NAMESPACES, "team")
    await cluster.settle(1)
    found = await client.get(kinds.NAMESPACES, "team")
    conditions = {c["type"]: c for c in found["status"]["conditions"]}
    assert (
        "example.com/hold in 1 resource instances"
        in (conditions["NamespaceFinalizersRemaining"]["message"])
    )
    await client.patch(kinds.CONFIG_MAPS, "held", "team", {"metadata": {"finalizers": None}})
    await cluster.settle(1)
    assert "team" not in await namespaces(cluster)
