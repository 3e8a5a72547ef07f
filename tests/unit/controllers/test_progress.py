"""A barrier waits for what the controllers write because of the revision it was asked for."""

from __future__ import annotations

import asyncio

from netemu.aio import spawn
from netemu.api import kinds
from netemu.controllers.progress import COMPONENT


async def test_a_barrier_includes_the_slices_of_what_was_applied(cluster, make):
    client = cluster.client
    await client.create(kinds.REPLICA_SETS, make.workload("ReplicaSet", "web", 3))
    await cluster.settle()
    await client.create(kinds.SERVICES, make.service("web"))
    done = await client.barrier()
    listed = await client.list(kinds.ENDPOINT_SLICES, "default")
    mine = [s for s in listed.items if s["metadata"]["name"].startswith("web-")]
    assert [len(s["endpoints"]) for s in mine] == [3]
    assert done["components"][COMPONENT] >= int(mine[0]["metadata"]["resourceVersion"])
    assert done["revision"] >= int(mine[0]["metadata"]["resourceVersion"])


async def test_a_barrier_returns_while_others_keep_the_controllers_busy(cluster, make):
    client = cluster.client
    for index in range(20):
        await client.create(kinds.SERVICES, make.service(f"web-{index}"))
    await client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web-3", 60))
    stop = False

    async def churn():
        number = 0
        while not stop:
            number += 1
            patch = {"metadata": {"labels": {"round": str(number)}}}
            await client.patch(kinds.SERVICES, f"web-{number % 20}", "default", patch)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        spawn(group, churn(), name="churn")
        done = await client.barrier(timeout=60)
        stop = True
    assert done["components"][COMPONENT] >= done["revision"]


async def test_a_silent_node_is_not_waited_for(cluster):
    client = cluster.client
    await client.report_progress("node-2/proxy", 1)
    cluster.kubelets.silent.add("node-2")
    await cluster.settle(60)
    done = await client.barrier(timeout=60)
    assert "node-2/proxy" not in done["components"]
    await client.report_progress("node-2/proxy", 10_000)
    assert "node-2/proxy" in (await client.barrier(timeout=60))["components"]
