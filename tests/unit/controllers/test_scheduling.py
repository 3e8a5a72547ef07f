"""Controllers and scheduler together: spread, a full node, and the words for it."""

from __future__ import annotations

from collections import Counter

from netemu.api import kinds


async def test_replicas_spread_over_the_nodes(cluster, make):
    await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 9))
    await cluster.settle()
    where = Counter(pod["spec"]["nodeName"] for pod in await cluster.pods())
    assert where == {"node-1": 3, "node-2": 3, "node-3": 3}


async def test_the_pod_that_is_one_too_many_waits_and_says_why(start_cluster, make):
    async with start_cluster(nodes=0) as cluster:
        for index in range(3):
            await cluster.add_node(f"node-{index}", pods="2")
        await cluster.client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 7))
        await cluster.settle(1)
        (waiting,) = [p for p in await cluster.pods() if not p["spec"].get("nodeName")]
        (condition,) = waiting["status"]["conditions"]
        assert condition["type"] == "PodScheduled"
        assert condition["reason"] == "Unschedulable"
        assert condition["message"].startswith("0/3 nodes are available: 3 Too many pods.")
        events = (await cluster.client.list(kinds.EVENTS, "default")).items
        messages = [e["message"] for e in events if e["reason"] == "FailedScheduling"]
        assert messages
        assert messages[0].startswith("0/3 nodes are available: 3 Too many pods.")
        await cluster.add_node("node-9")
        await cluster.settle(11)
        pod = await cluster.client.get(kinds.PODS, waiting["metadata"]["name"], "default")
        assert pod["spec"]["nodeName"] == "node-9"


async def test_node_selector(cluster, make):
    client = cluster.client
    await client.patch(kinds.NODES, "node-2", "", {"metadata": {"labels": {"disk": "ssd"}}})
    await client.create(kinds.PODS, make.pod("fast", nodeSelector={"disk": "ssd"}))
    await client.create(kinds.PODS, make.pod("nowhere", nodeSelector={"disk": "tape"}))
    await cluster.settle()
    assert (await client.get(kinds.PODS, "fast", "default"))["spec"]["nodeName"] == "node-2"
    waiting = await client.get(kinds.PODS, "nowhere", "default")
    assert waiting["status"]["conditions"][0]["message"] == (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


async def test_a_higher_priority_pod_takes_the_place_of_a_lower_one(start_cluster, make):
    async with start_cluster(nodes=0) as cluster:
        await cluster.add_node("node-1", pods="1")
        await cluster.client.create(kinds.PODS, make.pod("low"))
        await cluster.settle()
        urgent = {"metadata": {"name": "urgent"}, "value": 1000}
        await cluster.client.create(kinds.PRIORITY_CLASSES, urgent)
        await cluster.client.create(kinds.PODS, make.pod("high", priorityClassName="urgent"))
        await cluster.settle(20)
        pods = await cluster.pods()
        assert [(p["metadata"]["name"], p["spec"].get("nodeName")) for p in pods] == [
            ("high", "node-1")
        ]
