"""Who comes after a daemon, a supervisor or a machine that went away."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import kubelets
from kubelets import ended, restarts, sh
from netemu.api.kinds import PODS
from netemu.node.supervisor.client import SupervisorClient


async def test_a_new_kubelet_takes_over_what_runs(cluster: Any, tmp_path: Path) -> None:
    await cluster.create(
        "stays", sh("echo up; sleep 1000"), {"image": "nginx", "ports": [{"containerPort": 80}]}
    )
    script = "until [ -e /v/end ]; do sleep .02; done; exit 7"
    volumes = [{"name": "v", "hostPath": {"path": str(tmp_path)}}]
    container = sh(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    await cluster.create("ends", container, volumes=volumes, restartPolicy="Never")
    await cluster.create("goes", sh("sleep 1000"))
    before = await cluster.ready("stays")
    for name in ("ends", "goes"):
        await cluster.until(name, lambda p: p["status"].get("phase") == "Running")
    await cluster.stop_kubelet()
    await cluster.client.delete(PODS, "goes", "default", grace_period_seconds=0)
    await _end(cluster, tmp_path / "end")
    cluster.start_kubelet()
    pod = await cluster.until("ends", lambda p: p["status"].get("phase") == "Failed")
    assert ended(pod)["exitCode"] == 7
    after = await cluster.ready("stays")
    assert after["status"] == before["status"]
    code, output = await cluster.run("stays", "wget", "-qO-", "http://127.0.0.1/hostname")
    assert (code, output) == (0, "stays")
    async with asyncio.timeout(60):
        while len(cluster.network.networks["node-1"].sandboxes()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_containers_start_again_after_the_death_of_their_supervisor(cluster: Any) -> None:
    web = {"image": "nginx", "ports": [{"containerPort": 80}]}
    await cluster.create("p", sh("sleep 1000"), web)
    await cluster.create("once", sh("sleep 1000"), restartPolicy="Never")
    before = await cluster.ready("p")
    await cluster.ready("once")
    (supervisor,) = [
        each["pid"]
        for each in cluster.network.ledger.entries()
        if each.kind == "process" and _command(each["pid"]).count("supervisor.main")
    ]
    os.kill(supervisor, signal.SIGKILL)
    after = await cluster.until("p", lambda p: restarts(p) == 1 and kubelets.is_ready(p))
    assert after["status"]["podIP"] == before["status"]["podIP"]
    once = await cluster.until("once", lambda p: p["status"].get("phase") == "Failed")
    assert ended(once)["exitCode"] == 137
    code, output = await cluster.run("p", "wget", "-qO-", "http://127.0.0.1/hostname")
    assert (code, output) == (0, "p")


async def test_a_kubelet_that_was_away_for_a_reboot_restarts_what_is_gone(cluster: Any) -> None:
    await cluster.create("p", sh("sleep 1000"))
    await cluster.ready("p")
    await cluster.stop_kubelet()
    for each in cluster.network.ledger.entries():
        if each.kind == "process" and _command(each["pid"]).count("supervisor.main"):
            os.kill(each["pid"], signal.SIGKILL)
            await kubelets.gone(each["pid"])
    cluster.start_kubelet()
    pod = await cluster.until("p", lambda p: restarts(p) == 1 and kubelets.is_ready(p))
    last = kubelets.status_of(pod)["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("ContainerStatusUnknown", 137)
    assert last["finishedAt"] > "2000"


async def _end(cluster: Any, sign: Path) -> None:
    """Let the container that waits for `sign` end, and wait until its supervisor knows."""
    events: asyncio.Queue[Any] = asyncio.Queue()
    supervisor = SupervisorClient(cluster.directory / "supervisor.sock", events.put_nowait)
    await supervisor.connect()
    sign.touch()
    async with asyncio.timeout(60):
        while (await events.get())["event"] != "exited":
            pass
    await supervisor.close()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
