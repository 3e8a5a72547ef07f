"""What a container may see, do and use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelets import ended, sh
from netemu.api.kinds import PODS


async def test_users_rights_and_working_directories(cluster: Any) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 5678, "readOnlyRootFilesystem": True}
    container = sh(
        "id -u; id -g; pwd; touch /etc/x", workingDir="/usr/share", securityContext=context
    )
    await cluster.create("p", container, restartPolicy="Never")
    await cluster.until("p", lambda p: p["status"].get("phase") == "Failed")
    assert (await cluster.logs("p")).split("\n")[:3] == ["1234", "5678", "/usr/share"]
    await cluster.create("q", sh("pwd", workingDir="/no/such/place"), restartPolicy="Never")
    await cluster.until("q", lambda p: p["status"].get("phase") == "Succeeded")
    assert await cluster.logs("q") == "/no/such/place\n"  # made, as runc does
    await cluster.create("r", sh("true", workingDir="/etc/passwd"), restartPolicy="Never")
    await cluster.until("r", lambda p: p["status"].get("phase") == "Failed")
    assert 'chdir to cwd ("/etc/passwd")' in await cluster.until_event("r", "Failed")


async def test_processes_may_be_shared(cluster: Any) -> None:
    await cluster.create("p", sh("sleep 1111"), sh("sleep 2222"), shareProcessNamespace=True)
    await cluster.ready("p")
    _, output = await cluster.run("p", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "sleep 1111" in output and "sleep 2222" in output


async def test_a_debugger_sees_the_processes_of_its_target(cluster: Any) -> None:
    await cluster.create("p", sh("sleep 1111"), sh("sleep 2222"))
    pod = await cluster.ready("p")
    target = pod["spec"]["containers"][0]["name"]
    look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    debug = {"name": "debug", "targetContainerName": target, "image": "busybox"}
    debug |= sh(look)
    pod = {**pod, "spec": {**pod["spec"], "ephemeralContainers": [debug]}}
    await cluster.client.update(PODS, pod, subresource="ephemeralcontainers")
    await cluster.until("p", lambda p: ended(p, "debug"))
    seen = await cluster.logs("p", container="debug")
    assert "sleep 1111" in seen and "sleep 2222" not in seen
    await cluster.ready("p")


async def test_usage_is_measured(cluster: Any) -> None:
    await cluster.create("busy", sh("while :; do :; done"))
    await cluster.create("idle", sh("sleep 1000"), {"image": "nginx"})
    for name in ("busy", "idle"):
        await cluster.ready(name)
    async with asyncio.timeout(60):  # what it gets of a busy machine, a few ticks at a time
        while True:
            found = await cluster.kubelet.usage()
            if found["default", "busy"]["c0"]["cpu"] >= 20:
                break
    assert found["default", "idle"]["c0"]["cpu"] < 20
    assert found["default", "idle"]["c0"]["memory"] > 100_000
    assert "c1" in found["default", "idle"]


async def test_a_container_beyond_its_memory_is_killed_and_says_so(cluster: Any) -> None:
    await cluster.create("first", {"image": "pause"})
    await cluster.ready("first")
    if "memory" not in cluster.kubelet._runtime.limits:
        pytest.skip("no memory controller on this machine")
    limits = {"resources": {"limits": {"memory": "16Mi"}}}
    script = "x=x; while :; do x=$x$x; done"
    await cluster.create("p", sh(script, **limits), restartPolicy="Never")
    pod = await cluster.until("p", lambda p: p["status"].get("phase") == "Failed")
    assert (ended(pod)["exitCode"], ended(pod)["reason"]) == (137, "OOMKilled")
