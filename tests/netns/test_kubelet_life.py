"""Pods from start to end: order, exits, back-off, deletion."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import kubelets
from kubelets import ended, restarts, sh, waiting
from netemu.api.kinds import NODES, PODS
from netemu.errors import ApiError
from netemu.node.kubelet import kubelet, worker
from netemu.node.kubelet.plan import plan_pod


async def test_the_node_is_ready_with_addresses_and_room(cluster: Any) -> None:
    await cluster.create("p", {})
    await cluster.until("p", lambda pod: pod.get("status", {}).get("hostIP"))
    node = await cluster.client.get(NODES, "node-1")
    status = node["status"]
    assert {"type": "InternalIP", "address": "172.30.0.2"} in status["addresses"]
    assert int(status["capacity"]["pods"]) > 100
    noted = node["metadata"]["annotations"]["netemu.dev/enforced-limits"]
    assert noted == (" ".join(cluster.kubelet._runtime.limits) or "none")
    assert {"Ready": "True"}.items() <= {
        c["type"]: c["status"] for c in status["conditions"]
    }.items()


async def test_one_status_write_is_enough_for_a_pod_without_probes(cluster: Any) -> None:
    phases = []

    def note(old: Any, new: Any) -> None:
        if new and new["metadata"]["name"] == "p":
            phases.append((new["status"].get("phase"), kubelets.is_ready(new)))

    cluster.pods.on_change(note)
    await cluster.create("p", {"image": "nginx"})
    await cluster.ready("p")
    assert phases == [("Pending", False), ("Running", True)]


async def test_a_crash_loop_backs_off_and_the_last_log_can_be_read(cluster: Any) -> None:
    await cluster.create("p", sh("echo run; exit 3"))
    pod = await cluster.until("p", lambda p: waiting(p) == "CrashLoopBackOff" and restarts(p) > 1)
    last = kubelets.status_of(pod)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], pod["status"]["phase"]) == (3, "Error", "Running")
    assert await cluster.logs("p", previous=True) == "run\n"
    assert "Back-off restarting failed container c0" in await cluster.until_event("p", "BackOff")


@pytest.mark.parametrize(
    ("policy", "script", "phase", "code"),
    [
        ("Never", "exit 0", "Succeeded", 0),
        ("Never", "exit 5", "Failed", 5),
        ("OnFailure", "exit 0", "Succeeded", 0),
        ("Never", "kill -9 $$; sleep 1", "Failed", 0),
    ],
)
async def test_pods_that_end(cluster: Any, policy: str, script: str, phase: str, code: int) -> None:
    await cluster.create(
        "p", sh(script if "kill" not in script else "exit 9"), restartPolicy=policy
    )
    pod = await cluster.until("p", lambda p: p["status"].get("phase") == phase)
    assert ended(pod)["exitCode"] == (code or (9 if "kill" in script else 0))


async def test_what_cannot_start_says_why_and_leaves_others_alone(cluster: Any) -> None:
    await cluster.create("good", sh("sleep 1000"))
    await cluster.create("bad", {"command": ["nosuchprogram"]})
    await cluster.create("cfg", {"env": [_key("later", "a")], **sh("echo $A; sleep 1000")})
    bad = await cluster.until("bad", lambda p: restarts(p) > 0)
    assert kubelets.status_of(bad)["lastState"]["terminated"]["reason"] == "StartError"
    assert "executable file not found in $PATH" in await cluster.until_event("bad", "Failed")
    await cluster.until("cfg", lambda p: waiting(p) == "CreateContainerConfigError")
    await cluster.ready("good")
    await cluster.config_map("later", a="now")
    await cluster.ready("cfg")
    await cluster.until_logged("cfg")
    assert await cluster.logs("cfg") == "now\n"


async def test_init_containers_and_sidecars_run_in_order(cluster: Any) -> None:
    volume = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    init = [
        {"name": "one", "image": "busybox", **sh("echo one >> /v/log"), **volume},
        {
            "name": "side",
            "image": "busybox",
            "restartPolicy": "Always",
            **sh("trap 'exit 0' TERM; echo side >> /v/log; while :; do sleep .02; done"),
            "startupProbe": {"exec": {"command": ["grep", "-q", "side", "/v/log"]}},
            **volume,
        },
        {"name": "two", "image": "busybox", **sh("echo two >> /v/log"), **volume},
    ]
    main = {**sh("cat /v/log"), **volume}
    volumes = [{"name": "v", "emptyDir": {}}]
    await cluster.create("p", main, initContainers=init, volumes=volumes, restartPolicy="Never")
    pod = await cluster.until("p", lambda p: p["status"].get("phase") == "Succeeded")
    assert await cluster.logs("p", container="c0") == "one\nside\ntwo\n"
    pod = await cluster.until("p", lambda p: ended(p, "side"))
    assert ended(pod, "side")["exitCode"] == 0


async def test_a_sidecar_that_ends_while_the_result_is_written_is_told_of(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = cluster.client.patch

    async def patch(resource: Any, name: str, space: str, body: Any, **more: Any) -> Any:
        done = await plain(resource, name, space, body, **more)
        if body.get("status", {}).get("phase") == "Succeeded":
            (worker,) = cluster.kubelet._workers.values()
            while worker.running():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        return done

    monkeypatch.setattr(cluster.client, "patch", patch)
    side = {"name": "side", "image": "busybox", "restartPolicy": "Always", **sh("sleep 1000")}
    await cluster.create("p", sh("true"), initContainers=[side], restartPolicy="Never")
    await cluster.until("p", lambda p: ended(p, "side"))


async def test_deletion_runs_the_hook_waits_for_the_grace_and_leaves_nothing(cluster: Any) -> None:
    mount = {"volumeMounts": [{"name": "h", "mountPath": "/h"}]}
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /h/log"]}}}
    script = "trap 'echo term >> /h/log; exit 0' TERM; echo up; while :; do sleep .02; done"
    shared = cluster.directory / "shared"
    volumes = [{"name": "h", "hostPath": {"path": str(shared), "type": "DirectoryOrCreate"}}]
    await cluster.create("p", sh(script, lifecycle=hook, **mount), volumes=volumes)
    pod = await cluster.ready("p")
    await cluster.until_logged("p")
    await cluster.delete("p")
    assert (shared / "log").read_text() == "hook\nterm\n"
    uid = pod["metadata"]["uid"]
    assert uid not in cluster.network.networks["node-1"].sandboxes()
    assert not list(cluster.directory.rglob(f"*{uid}*"))


async def test_a_deaf_container_is_killed_after_its_grace(cluster: Any) -> None:
    script = "trap '' TERM; echo up; while :; do sleep .02; done"
    await cluster.create("p", sh(script), terminationGracePeriodSeconds=1)
    await cluster.ready("p")
    await cluster.until_logged("p")
    loop = asyncio.get_running_loop()
    start = loop.time()
    await cluster.delete("p")
    assert 0.9 < loop.time() - start < 25  # 30 s are what it would have got unasked


async def test_a_defect_in_one_look_at_a_pod_is_not_its_last(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = []

    def plan(*args: Any, **kwargs: Any) -> Any:
        looks.append(args)
        if len(looks) == 1:
            raise RuntimeError("a defect")
        return plan_pod(*args, **kwargs)

    monkeypatch.setattr(kubelet, "_AFTER_DEFECT", 0.01)
    monkeypatch.setattr(worker, "plan_pod", plan)
    await cluster.create("p", sh("sleep 1000"), terminationGracePeriodSeconds=0)
    await cluster.ready("p")
    assert "worker failed" in caplog.text
    await cluster.delete("p")


async def test_forced_deletion_does_not_wait(cluster: Any) -> None:
    await cluster.create("p", sh("trap '' TERM; while :; do sleep .02; done"))
    pod = await cluster.ready("p")
    await cluster.delete("p", grace_period_seconds=0)
    async with asyncio.timeout(60):
        while pod["metadata"]["uid"] in cluster.network.networks["node-1"].sandboxes():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_last_words_and_kernel_parameters(cluster: Any) -> None:
    script = "cat /proc/sys/net/ipv4/ip_local_port_range > /dev/termination-log; exit 2"
    parameter = {"name": "net.ipv4.ip_local_port_range", "value": "20000\t30000"}
    context = {"sysctls": [parameter]}
    await cluster.create("p", sh(script), restartPolicy="Never", securityContext=context)
    pod = await cluster.until("p", lambda p: p["status"].get("phase") == "Failed")
    assert ended(pod)["message"] == "20000\t30000\n"


async def test_an_ephemeral_container_joins_a_running_pod(cluster: Any) -> None:
    await cluster.create("p", {"image": "nginx"})
    await cluster.ready("p")
    debug = {
        "name": "debug",
        "image": "busybox",
        "command": ["sh", "-c", "wget -qO- http://127.0.0.1/hostname"],
    }
    pod = await cluster.client.get(PODS, "p", "default")
    pod = {**pod, "spec": {**pod["spec"], "ephemeralContainers": [debug]}}
    try:
        await cluster.client.update(PODS, pod, subresource="ephemeralcontainers")
    except ApiError:
        await cluster.client.update(PODS, pod)
    await cluster.until("p", lambda p: ended(p, "debug"))
    assert await cluster.logs("p", container="debug") == "p"


def _key(name: str, key: str) -> dict[str, Any]:
    return {"name": "A", "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}
