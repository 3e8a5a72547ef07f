"""What the store remembers of a machine that has rebooted is not taken for true."""

from __future__ import annotations

from pathlib import Path

from netemu.api.kinds import NODES, PODS
from netemu.apiserver.server import ApiServer
from netemu.cluster.reboot import forget_readiness
from netemu.config import ClusterConfig
from netemu.store.memory import MemoryStore

READY = [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]


async def test_nodes_become_unknown_and_pods_unready(tmp_path: Path) -> None:
    server = ApiServer(ClusterConfig(), store=MemoryStore(), pki=tmp_path / "pki")
    await server.open()
    client = server.local_client()
    await client.create(NODES, {"metadata": {"name": "n"}, "status": {"conditions": READY[:1]}})
    container = {"name": "c", "image": "i"}
    for name in ("was-ready", "never-was"):
        made = {"metadata": {"name": name, "namespace": "default"}}
        await client.create(PODS, made | {"spec": {"nodeName": "n", "containers": [container]}})
    status = {
        "conditions": READY,
        "containerStatuses": [
            {"name": "c", "ready": True, "restartCount": 0, "image": "i", "imageID": "i"}
        ],
    }
    await client.patch(PODS, "was-ready", "default", {"status": status}, subresource="status")
    await client.patch(NODES, "n", "", {"status": {"conditions": READY[:1]}}, subresource="status")

    assert await forget_readiness(client, ["another"]) == 0
    assert await forget_readiness(client, ["n"]) == 2
    pod = await client.get(PODS, "was-ready", "default")
    found = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
    assert found == {"Ready": "False", "PodScheduled": "True"}
    assert pod["status"]["containerStatuses"][0]["ready"] is False
    node = await client.get(NODES, "n")
    assert node["status"]["conditions"][0]["status"] == "Unknown"
    assert await forget_readiness(client, ["n"]) == 0
    await server.close()
