"""Claims and volumes, against the real API server in memory."""

from __future__ import annotations

import pytest

from netemu.api import kinds


def claim(name="data", size="1Gi", **spec):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def volume(name, size, storage_class="slow", policy="Retain"):
    spec = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "persistentVolumeReclaimPolicy": policy,
        "hostPath": {"path": f"/srv/{name}"},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": spec,
    }


async def get_claim(cluster, name="data"):
    return await cluster.client.get(kinds.PERSISTENT_VOLUME_CLAIMS, name, "default")


async def test_a_claim_without_a_volume_gets_a_directory(cluster):
    removed = []

    async def reclaim(path):
        removed.append(path)

    binder = next(c for c in cluster.manager.controllers if c.name == "persistentvolume-binder")
    binder._reclaim = reclaim
    await cluster.client.create(kinds.PERSISTENT_VOLUME_CLAIMS, claim())
    await cluster.settle()
    found = await get_claim(cluster)
    assert found["status"]["phase"] == "Bound"
    assert found["status"]["capacity"] == {"storage": "1Gi"}
    made = await cluster.client.get(kinds.PERSISTENT_VOLUMES, found["spec"]["volumeName"])
    path = made["spec"]["hostPath"]["path"]
    assert path.startswith("/var/lib/netemu/netemu/volumes/pvc-")
    await cluster.client.delete(kinds.PERSISTENT_VOLUME_CLAIMS, "data", "default")
    await cluster.settle()
    assert (await cluster.client.list(kinds.PERSISTENT_VOLUMES)).items == []
    assert removed == [path]


async def test_the_smallest_fitting_volume_is_bound_and_kept(cluster):
    for name, size in (("big", "10Gi"), ("right", "5Gi"), ("small", "1Gi")):
        await cluster.client.create(kinds.PERSISTENT_VOLUMES, volume(name, size))
    await cluster.client.create(
        kinds.PERSISTENT_VOLUME_CLAIMS, claim(size="3Gi", storageClassName="slow")
    )
    await cluster.settle()
    assert (await get_claim(cluster))["spec"]["volumeName"] == "right"
    await cluster.client.delete(kinds.PERSISTENT_VOLUME_CLAIMS, "data", "default")
    await cluster.settle()
    kept = await cluster.client.get(kinds.PERSISTENT_VOLUMES, "right")
    assert kept["status"]["phase"] == "Released"


async def test_an_empty_class_waits_for_somebody_to_make_a_volume(cluster):
    await cluster.client.create(kinds.PERSISTENT_VOLUME_CLAIMS, claim(storageClassName=""))
    await cluster.settle()
    assert (await get_claim(cluster))["status"]["phase"] == "Pending"
    await cluster.client.create(kinds.PERSISTENT_VOLUMES, volume("late", "1Gi", ""))
    await cluster.settle()
    assert (await get_claim(cluster))["spec"]["volumeName"] == "late"


async def test_a_storage_class_says_what_becomes_of_the_volume(cluster):
    keeping = {
        "metadata": {
            "name": "keeping",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "example.com/any",
        "reclaimPolicy": "Retain",
    }
    by_hand = {"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"}
    for storage_class in (keeping, by_hand):
        await cluster.client.create(kinds.STORAGE_CLASSES, storage_class)
    await cluster.client.create(kinds.PERSISTENT_VOLUME_CLAIMS, claim())
    await cluster.client.create(
        kinds.PERSISTENT_VOLUME_CLAIMS, claim("waits", storageClassName="local")
    )
    await cluster.settle()
    made = (await get_claim(cluster))["spec"]["volumeName"]
    found = await cluster.client.get(kinds.PERSISTENT_VOLUMES, made)
    assert found["spec"]["storageClassName"] == "keeping"
    assert found["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert (await get_claim(cluster, "waits"))["status"]["phase"] == "Pending"


async def test_a_claim_in_use_stays(cluster, make):
    await cluster.client.create(kinds.PERSISTENT_VOLUME_CLAIMS, claim())
    mount = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    await cluster.client.create(kinds.PODS, make.pod("user", volumes=mount))
    await cluster.settle()
    await cluster.client.delete(kinds.PERSISTENT_VOLUME_CLAIMS, "data", "default")
    await cluster.settle()
    assert (await get_claim(cluster))["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    await cluster.client.delete(kinds.PODS, "user", "default")
    await cluster.settle()
    assert (await cluster.client.list(kinds.PERSISTENT_VOLUME_CLAIMS, "default")).items == []


@pytest.mark.parametrize("many", [12])
async def test_no_volume_is_bound_twice(cluster, many):
    for index in range(many):
        await cluster.client.create(kinds.PERSISTENT_VOLUMES, volume(f"v{index}", "1Gi"))
    for index in range(many):
        await cluster.client.create(
            kinds.PERSISTENT_VOLUME_CLAIMS, claim(f"c{index}", storageClassName="slow")
        )
    await cluster.settle()
    bound = [(await get_claim(cluster, f"c{i}"))["spec"]["volumeName"] for i in range(many)]
    assert len(set(bound)) == many


async def test_a_claim_may_wait_for_its_first_user(cluster, make):
    late = {
        "metadata": {"name": "late"},
        "provisioner": "netemu.dev/directory",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    await cluster.client.create(kinds.STORAGE_CLASSES, late)
    await cluster.client.create(kinds.PERSISTENT_VOLUME_CLAIMS, claim(storageClassName="late"))
    await cluster.settle(2)
    assert (await get_claim(cluster))["status"]["phase"] == "Pending"
    told = (await cluster.client.list(kinds.EVENTS, "default")).items
    assert "WaitForFirstConsumer" in {event["reason"] for event in told}
    source = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    await cluster.client.create(kinds.PODS, make.pod("user", volumes=[source]))
    await cluster.settle()
    assert (await get_claim(cluster))["status"]["phase"] == "Bound"


async def test_an_ephemeral_volume_comes_and_goes_with_its_pod(cluster, make):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}
    source = {"name": "v", "ephemeral": {"volumeClaimTemplate": template}}
    made = await cluster.client.create(kinds.PODS, make.pod("user", volumes=[source]))
    await cluster.settle()
    found = await get_claim(cluster, "user-v")
    assert (found["status"]["phase"], found["metadata"]["labels"]) == ("Bound", {"a": "b"})
    assert found["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    await cluster.client.delete(kinds.PODS, "user", "default")
    await cluster.settle(2)
    assert (await cluster.client.list(kinds.PERSISTENT_VOLUME_CLAIMS, "default")).items == []


async def test_a_claim_of_somebody_else_is_not_taken_for_an_ephemeral_one(cluster, make):
    await cluster.client.create(kinds.PERSISTENT_VOLUME_CLAIMS, claim("user-v"))
    source = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": claim()["spec"]}}}
    await cluster.client.create(kinds.PODS, make.pod("user", volumes=[source]))
    await cluster.settle(2)
    told = (await cluster.client.list(kinds.EVENTS, "default")).items
    assert any("(pod is not owner)" in event["message"] for event in told)
