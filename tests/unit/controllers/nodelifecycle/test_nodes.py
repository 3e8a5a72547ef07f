"""Silent nodes, taints and evictions, against the real API server in memory."""

from __future__ import annotations

from netemu.api import kinds
from netemu.api.meta import timestamp
from netemu.config.cluster import ClusterConfig, TimingConfig
from netemu.controllers.nodelifecycle.plan import evict_in


async def taints(cluster, node):
    found = await cluster.client.get(kinds.NODES, node)
    return sorted((t["key"], t["effect"]) for t in found.get("spec", {}).get("taints") or ())


async def test_a_silent_node_loses_its_pods_after_the_toleration(start_cluster, make):
    timing = TimingConfig(node_monitor_grace=40, pod_toleration=60)
    async with start_cluster(config=ClusterConfig(timing=timing)) as cluster:
        await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 3))
        await cluster.settle()
        cluster.kubelets.silent.add("node-2")
        cluster.kubelets.linger = lambda pod: pod["spec"].get("nodeName") == "node-2"
        await cluster.settle(55)
        assert await taints(cluster, "node-2") == [
            ("node.kubernetes.io/unreachable", "NoExecute"),
            ("node.kubernetes.io/unreachable", "NoSchedule"),
        ]
        lost = [p for p in await cluster.pods() if p["spec"]["nodeName"] == "node-2"]
        ready = [c["status"] for c in lost[0]["status"]["conditions"] if c["type"] == "Ready"]
        assert ready == ["False"]
        assert "deletionTimestamp" not in lost[0]["metadata"]
        await cluster.settle(65)
        pods = await cluster.pods()
        assert len(pods) == 4
        alive = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
        assert {p["spec"]["nodeName"] for p in alive} == {"node-1", "node-3"}
        # It comes back: its taints go, and new pods may run there.
        cluster.kubelets.silent.clear()
        ready = {
            "type": "Ready",
            "status": "True",
            "lastHeartbeatTime": timestamp(cluster.clock.now()),
        }
        patch = {"status": {"conditions": [ready]}}
        await cluster.client.patch(kinds.NODES, "node-2", "", patch, subresource="status")
        await cluster.settle()
        assert await taints(cluster, "node-2") == []


async def test_a_cordoned_node_is_tainted_and_takes_no_pods(cluster, make):
    await cluster.client.patch(kinds.NODES, "node-1", "", {"spec": {"unschedulable": True}})
    await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 4))
    await cluster.settle()
    assert await taints(cluster, "node-1") == [("node.kubernetes.io/unschedulable", "NoSchedule")]
    assert {p["spec"]["nodeName"] for p in await cluster.pods()} == {"node-2", "node-3"}
    await cluster.client.patch(kinds.NODES, "node-1", "", {"spec": {"unschedulable": None}})
    await cluster.settle()
    assert await taints(cluster, "node-1") == []


async def test_pods_of_a_deleted_node_are_removed(start_cluster, make):
    timing = TimingConfig(node_monitor_grace=15)
    async with start_cluster(config=ClusterConfig(timing=timing)) as cluster:
        await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 3))
        await cluster.settle()
        cluster.kubelets.linger = lambda pod: True
        await cluster.client.delete(kinds.NODES, "node-3")
        await cluster.settle(16)
        pods = await cluster.pods()
        assert len(pods) == 3
        assert {p["spec"]["nodeName"] for p in pods} == {"node-1", "node-2"}


def test_eviction_times():
    taint = {"key": "a", "effect": "NoExecute", "timeAdded": timestamp(1000)}

    def pod(*tolerations):
        return {"spec": {"tolerations": list(tolerations)}}

    assert evict_in(pod(), [taint], 1000, 300) == 0
    assert evict_in(pod({"key": "a", "operator": "Exists"}), [taint], 1000, 300) is None
    limited = {"key": "a", "operator": "Exists", "tolerationSeconds": 60}
    assert evict_in(pod(limited), [taint], 1010, 300) == 50
    assert evict_in(pod(), [{**taint, "effect": "NoSchedule"}], 1000, 300) is None
    gone = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    assert evict_in(pod(), [{**gone, "timeAdded": timestamp(1000)}], 1100, 300) == 200


def test_a_taint_without_a_time_counts_from_when_it_was_seen():
    taint = {"key": "a", "effect": "NoExecute"}
    toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
    pod = {"spec": {"tolerations": [toleration]}}
    assert evict_in(pod, [taint], 100.0, 300.0, 100.0) == 2.0
    assert evict_in(pod, [taint], 103.0, 300.0, 100.0) == -1.0
