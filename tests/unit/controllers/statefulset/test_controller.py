"""StatefulSets: order, names, claims, updates; against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds
from netemu.api.meta import name


async def names(cluster):
    return sorted(name(pod) for pod in await cluster.pods())


async def status(cluster):
    return (await cluster.client.get(kinds.STATEFUL_SETS, "web", "default")).get("status") or {}


async def ready(cluster, count):
    found = await status(cluster)
    return found.get("readyReplicas", 0) == count == found.get("replicas", 0)


def stateful(make, replicas=3, **spec):
    return make.workload("StatefulSet", "web", replicas, serviceName="nginx", **spec)


async def test_each_start_waits_for_the_one_before(cluster, make):
    cluster.kubelets.hold = lambda pod: name(pod) == "web-1"
    await cluster.client.create(kinds.STATEFUL_SETS, stateful(make))
    await cluster.settle()
    assert await names(cluster) == ["web-0", "web-1"]
    cluster.kubelets.hold = lambda pod: False
    cluster.kubelets.again()
    await cluster.until(lambda: ready(cluster, 3))
    pod = await cluster.client.get(kinds.PODS, "web-2", "default")
    assert pod["spec"]["hostname"] == "web-2"
    assert pod["spec"]["subdomain"] == "nginx"
    labels = pod["metadata"]["labels"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "web-2"
    assert labels["apps.kubernetes.io/pod-index"] == "2"
    assert labels["controller-revision-hash"] == (await status(cluster))["currentRevision"]


async def test_it_stops_from_the_highest_down(cluster, make):
    await cluster.client.create(kinds.STATEFUL_SETS, stateful(make))
    await cluster.until(lambda: ready(cluster, 3))
    cluster.kubelets.linger = lambda pod: True
    await cluster.client.patch(kinds.STATEFUL_SETS, "web", "default", {"spec": {"replicas": 0}})
    await cluster.settle()
    leaving = [name(p) for p in await cluster.pods() if "deletionTimestamp" in p["metadata"]]
    assert leaving == ["web-2"]
    cluster.kubelets.linger = lambda pod: False
    cluster.kubelets.again()
    await cluster.until(lambda: ready(cluster, 0))


async def test_parallel_starts_all_at_once(cluster, make):
    cluster.kubelets.hold = lambda pod: True
    owner = stateful(make, podManagementPolicy="Parallel")
    await cluster.client.create(kinds.STATEFUL_SETS, owner)
    await cluster.settle()
    assert await names(cluster) == ["web-0", "web-1", "web-2"]


async def test_a_deleted_pod_comes_back_with_its_name_and_claim(cluster, make):
    claims = [
        {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    ]
    owner = stateful(make, volumeClaimTemplates=claims)
    container = owner["spec"]["template"]["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    await cluster.client.create(kinds.STATEFUL_SETS, owner)
    await cluster.until(lambda: ready(cluster, 3))
    before = await cluster.client.get(kinds.PODS, "web-1", "default")
    claim = await cluster.client.get(kinds.PERSISTENT_VOLUME_CLAIMS, "data-web-1", "default")
    await cluster.client.delete(kinds.PODS, "web-1", "default")
    await cluster.settle()
    after = await cluster.client.get(kinds.PODS, "web-1", "default")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert claims_in(after) == claims_in(before) == ["data-web-1"]
    await cluster.client.delete(kinds.STATEFUL_SETS, "web", "default")
    await cluster.settle()
    kept = await cluster.client.get(kinds.PERSISTENT_VOLUME_CLAIMS, "data-web-1", "default")
    assert kept["metadata"]["uid"] == claim["metadata"]["uid"]


def claims_in(pod):
    volumes = pod["spec"]["volumes"]
    found = [volume.get("persistentVolumeClaim") for volume in volumes]
    return [claim["claimName"] for claim in found if claim]


async def test_update_respects_the_partition_and_goes_down_from_the_top(cluster, make):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await cluster.client.create(kinds.STATEFUL_SETS, stateful(make, updateStrategy=strategy))
    await cluster.until(lambda: ready(cluster, 3))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}}
    await cluster.client.patch(kinds.STATEFUL_SETS, "web", "default", patch)
    await cluster.settle()
    assert await images(cluster) == ["nginx", "nginx", "v2"]
    found = await status(cluster)
    assert found["updatedReplicas"] == 1
    assert found["currentRevision"] != found["updateRevision"]
    # A pod below the partition comes back as it was.
    await cluster.client.delete(kinds.PODS, "web-0", "default")
    await cluster.settle()
    assert await images(cluster) == ["nginx", "nginx", "v2"]
    patch = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}
    await cluster.client.patch(kinds.STATEFUL_SETS, "web", "default", patch)
    await cluster.settle()
    assert await images(cluster) == ["v2", "v2", "v2"]
    found = await status(cluster)
    assert found["currentRevision"] == found["updateRevision"]
    assert found["currentReplicas"] == 3


async def test_start_ordinal(cluster, make):
    owner = stateful(make, 2, ordinals={"start": 5})
    await cluster.client.create(kinds.STATEFUL_SETS, owner)
    await cluster.until(lambda: ready(cluster, 2))
    assert await names(cluster) == ["web-5", "web-6"]


async def images(cluster):
    pods = sorted(await cluster.pods(), key=name)
    return [pod["spec"]["containers"][0]["image"] for pod in pods]
