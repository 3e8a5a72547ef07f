"""Controllers that start anew find everything as it is, and change nothing."""

from __future__ import annotations

import asyncio

from netemu.aio import spawn
from netemu.api import kinds
from netemu.client.informers import Informers
from netemu.controllers.context import ControllerContext
from netemu.controllers.manager import ControllerManager


async def test_a_second_manager_on_the_same_objects_writes_nothing(cluster, make):
    client = cluster.client
    await client.create(kinds.SERVICES, make.service("web"))
    await client.create(kinds.DEPLOYMENTS, make.workload("Deployment", "web", 3))
    await client.create(
        kinds.STATEFUL_SETS, make.workload("StatefulSet", "db", 2, serviceName="db")
    )
    daemon = make.workload("DaemonSet", "agent", 0)
    del daemon["spec"]["replicas"]
    await client.create(kinds.DAEMON_SETS, daemon)
    await cluster.settle(2)
    before = cluster.server.cache.revision
    informers = Informers(client)
    context = ControllerContext(
        client=client,
        informers=informers,
        clock=cluster.clock,
        events=cluster.events,
        config=cluster.config,
    )
    manager = ControllerManager(context, root_ca="PEM")
    async with asyncio.TaskGroup() as group:
        tasks = [
            spawn(group, informers.run(), name="informers"),
            spawn(group, manager.run(), name="second manager"),
        ]
        for _ in range(2000):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    assert cluster.server.cache.revision == before
