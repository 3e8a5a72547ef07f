"""EndpointSlices, Endpoints and mirroring, against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds


async def slices(cluster, service):
    labels = f"kubernetes.io/service-name={service}"
    return (await cluster.client.list(kinds.ENDPOINT_SLICES, "default", labels=labels)).items


async def endpoints(cluster, service):
    return [e for s in await slices(cluster, service) for e in s.get("endpoints") or ()]


async def test_pods_come_and_go_behind_a_service(cluster, make):
    client = cluster.client
    await client.create(kinds.SERVICES, make.service("web"))
    await cluster.settle()
    (empty,) = await slices(cluster, "web")
    assert not empty.get("endpoints")
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 3))
    await cluster.settle()
    (one,) = await slices(cluster, "web")
    assert one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
        "endpointslice-controller.k8s.io"
    )
    assert [p["port"] for p in one["ports"]] == [80]
    assert len(one["endpoints"]) == 3
    assert all(e["conditions"]["ready"] for e in one["endpoints"])
    cluster.kubelets.linger = lambda pod: True
    victim = (await cluster.pods(app="web"))[0]
    await client.delete(kinds.PODS, victim["metadata"]["name"], "default")
    await cluster.settle()
    (leaving,) = [
        e
        for e in await endpoints(cluster, "web")
        if e["targetRef"]["name"] == victim["metadata"]["name"]
    ]
    assert leaving["conditions"] == {"ready": False, "serving": True, "terminating": True}
    old = await client.get(kinds.ENDPOINTS, "web", "default")
    assert len(old["subsets"][0]["addresses"]) == 3


async def test_at_most_a_hundred_in_a_slice(cluster, make):
    await cluster.client.create(kinds.SERVICES, make.service("web"))
    await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 250))
    await cluster.settle()
    sizes = sorted(len(s["endpoints"]) for s in await slices(cluster, "web"))
    assert sum(sizes) == 250
    assert max(sizes) <= 100


async def test_hand_written_endpoints_are_mirrored(cluster, make):
    client = cluster.client
    service = make.service("nginx-svc-external", selector=None)
    await client.create(kinds.SERVICES, service)
    hand = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "nginx-svc-external",
            "namespace": "default",
            "labels": {"app": "nginx"},
        },
        "subsets": [
            {
                "addresses": [{"ip": "172.30.0.9"}],
                "ports": [{"name": "web", "port": 80, "protocol": "TCP"}],
            }
        ],
    }
    await client.create(kinds.ENDPOINTS, hand)
    await cluster.settle()
    (mirrored,) = await slices(cluster, "nginx-svc-external")
    assert mirrored["endpoints"] == [{"addresses": ["172.30.0.9"], "conditions": {"ready": True}}]
    assert mirrored["ports"] == [{"name": "web", "port": 80, "protocol": "TCP"}]
    assert mirrored["metadata"]["labels"]["app"] == "nginx"
    await client.patch(
        kinds.ENDPOINTS,
        "nginx-svc-external",
        "default",
        {"subsets": [{**hand["subsets"][0], "addresses": [{"ip": "172.30.0.10"}]}]},
    )
    await cluster.settle()
    (changed,) = await slices(cluster, "nginx-svc-external")
    assert changed["metadata"]["uid"] == mirrored["metadata"]["uid"]
    assert changed["endpoints"][0]["addresses"] == ["172.30.0.10"]
    await client.delete(kinds.ENDPOINTS, "nginx-svc-external", "default")
    await cluster.settle()
    assert await slices(cluster, "nginx-svc-external") == []


async def test_stateful_pods_have_hostnames(cluster, make):
    client = cluster.client
    headless = make.service("nginx", clusterIP="None", selector={"app": "web"})
    await client.create(kinds.SERVICES, headless)
    owner = make.workload("StatefulSet", "web", 3, serviceName="nginx")
    await client.create(kinds.STATEFUL_SETS, owner)
    await cluster.settle()
    assert sorted(e["hostname"] for e in await endpoints(cluster, "nginx")) == [
        "web-0",
        "web-1",
        "web-2",
    ]
    (one,) = await slices(cluster, "nginx")
    assert one["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


async def test_a_changed_selector_moves_the_endpoints(cluster, make):
    client = cluster.client
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "blue", 2))
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "green", 1))
    await client.create(kinds.SERVICES, make.service("web", selector={"app": "blue"}))
    await cluster.settle()
    assert len(await endpoints(cluster, "web")) == 2
    patch = {"spec": {"selector": {"app": "green"}}}
    await client.patch(kinds.SERVICES, "web", "default", patch)
    await cluster.settle()
    (only,) = await endpoints(cluster, "web")
    assert only["targetRef"]["name"].startswith("green-")
    await client.delete(kinds.SERVICES, "web", "default")
    await cluster.settle()
    assert await slices(cluster, "web") == []
