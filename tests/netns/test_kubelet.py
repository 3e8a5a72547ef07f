"""The kubelet with real containers, a real network and a real API server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import kubelets
from kubelets import ended, restarts, sh, waiting
from netemu.aio import spawn
from netemu.api.kinds import CONFIG_MAPS, NODES, PODS
from netemu.client.kubelet import LogOptions
from netemu.errors import ApiError

pytestmark = pytest.mark.netns


@pytest.fixture
async def cluster() -> AsyncIterator[Any]:
    async with kubelets.cluster() as made:
        yield made


async def logs(cluster: Any, pod: str, **options: Any) -> str:
    found = cluster.kubelet.logs("default", pod, LogOptions(**options))
    return b"".join([chunk async for chunk in found]).decode()


async def until_logged(cluster: Any, pod: str) -> None:
    async with asyncio.timeout(60):
        while not await logs(cluster, pod):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def config_map(cluster: Any, name: str, **data: str) -> None:
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    await cluster.client.create(CONFIG_MAPS, body)


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


async def test_containers_of_a_pod_talk_over_localhost(cluster: Any) -> None:
    web = {"image": "nginx:1.7.9", "ports": [{"containerPort": 80}]}
    await cluster.create("p", web, sh("sleep 1000"))
    pod = await cluster.ready("p")
    code, output = await cluster.run("p", "wget", "-qO-", "http://127.0.0.1/", container="c1")
    assert code == 0 and "pod: p\n" in output
    code, output = await cluster.run("p", "hostname", container="c0")  # in a stand-in
    assert (code, output) == (0, "p\n")
    assert pod["status"]["podIP"].startswith("10.244.0.")


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
    assert await logs(cluster, "p", previous=True) == "run\n"
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
    await config_map(cluster, "later", a="now")
    await cluster.ready("cfg")
    await until_logged(cluster, "cfg")
    assert await logs(cluster, "cfg") == "now\n"


def _key(name: str, key: str) -> dict[str, Any]:
    return {"name": "A", "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}


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
    assert await logs(cluster, "p", container="c0") == "one\nside\ntwo\n"
    pod = await cluster.until("p", lambda p: ended(p, "side"))
    assert ended(pod, "side")["exitCode"] == 0


async def test_readiness_follows_the_probe_and_liveness_restarts_in_place(cluster: Any) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1}
    alive = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1}
    container = sh(
        "sleep 1000",
        readinessProbe={**probe, "failureThreshold": 1},
        livenessProbe={**alive, "failureThreshold": 1},
    )
    await cluster.create("p", container, terminationGracePeriodSeconds=0)
    before = await cluster.until("p", lambda p: "running" in kubelets.status_of(p).get("state", {}))
    assert not kubelets.is_ready(before)
    await cluster.run("p", "touch", "/tmp/ok")
    await cluster.ready("p")
    await cluster.run("p", "rm", "/tmp/ok")
    await cluster.until("p", lambda p: not kubelets.is_ready(p))
    await cluster.run("p", "touch", "/tmp/sick")
    after = await cluster.until("p", lambda p: restarts(p) == 1)
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert "failed liveness probe, will be restarted" in await cluster.until_event("p", "Killing")


@pytest.mark.parametrize(
    "probe", [{"httpGet": {"path": "/x", "port": "web"}}, {"tcpSocket": {"port": 80}}]
)
async def test_network_probes_start_at_the_node(cluster: Any, probe: dict[str, Any]) -> None:
    web = {
        "image": "nginx",
        "ports": [{"name": "web", "containerPort": 80}],
        "readinessProbe": probe,
    }
    await cluster.create("p", web)
    await cluster.ready("p")
    if "httpGet" in probe:
        log = await logs(cluster, "p")
        assert log.startswith("10.244.0.1 - - ") and '"GET /x HTTP/1.1" 200' in log


async def test_deletion_runs_the_hook_waits_for_the_grace_and_leaves_nothing(cluster: Any) -> None:
    mount = {"volumeMounts": [{"name": "h", "mountPath": "/h"}]}
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /h/log"]}}}
    script = "trap 'echo term >> /h/log; exit 0' TERM; echo up; while :; do sleep .02; done"
    shared = cluster.directory / "shared"
    volumes = [{"name": "h", "hostPath": {"path": str(shared), "type": "DirectoryOrCreate"}}]
    await cluster.create("p", sh(script, lifecycle=hook, **mount), volumes=volumes)
    pod = await cluster.ready("p")
    await until_logged(cluster, "p")
    await cluster.delete("p")
    assert (shared / "log").read_text() == "hook\nterm\n"
    uid = pod["metadata"]["uid"]
    assert uid not in cluster.network.networks["node-1"].sandboxes()
    assert not list(cluster.directory.rglob(f"*{uid}*"))


async def test_a_deaf_container_is_killed_after_its_grace(cluster: Any) -> None:
    script = "trap '' TERM; echo up; while :; do sleep .02; done"
    await cluster.create("p", sh(script), terminationGracePeriodSeconds=1)
    await cluster.ready("p")
    await until_logged(cluster, "p")
    loop = asyncio.get_running_loop()
    start = loop.time()
    await cluster.delete("p")
    assert 0.9 < loop.time() - start < 5


async def test_forced_deletion_does_not_wait(cluster: Any) -> None:
    await cluster.create("p", sh("trap '' TERM; while :; do sleep .02; done"))
    pod = await cluster.ready("p")
    await cluster.delete("p", grace_period_seconds=0)
    async with asyncio.timeout(60):
        while pod["metadata"]["uid"] in cluster.network.networks["node-1"].sandboxes():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_volumes_of_keys_follow_their_objects(cluster: Any) -> None:
    await config_map(cluster, "cm", **{"a.conf": "one", "b": "two"})
    items = [{"key": "a.conf", "path": "deep/a"}]
    down = [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]
    volumes = [
        {"name": "all", "configMap": {"name": "cm"}},
        {"name": "some", "projected": {"sources": [{"configMap": {"name": "cm", "items": items}}]}},
        {"name": "down", "downwardAPI": {"items": down}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]
    mounts.append({"name": "all", "mountPath": "/etc/one.conf", "subPath": "a.conf"})
    await cluster.create("p", sh("sleep 1000", volumeMounts=mounts), volumes=volumes)
    await cluster.ready("p")
    script = "cat /all/a.conf /all/b /some/deep/a /down/name /etc/one.conf"
    assert await cluster.run("p", "sh", "-c", script) == (0, "onetwoonepone")


async def test_no_volume_path_leads_out_of_its_volume(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "v" / "link").symlink_to("../secret")
    volumes = [{"name": "v", "hostPath": {"path": str(tmp_path / "v")}}]
    mounts = [{"name": "v", "mountPath": "/x", "subPath": "link"}]
    await cluster.create(
        "p", sh("cat /x; ls -d /x; sleep 1000", volumeMounts=mounts), volumes=volumes
    )
    await cluster.ready("p")
    code, output = await cluster.run("p", "sh", "-c", "cat /x")
    assert "secret" not in output


async def test_what_its_volumes_lack_is_said_by_the_pod(cluster: Any) -> None:
    mount = {"name": "v", "mountPath": "/x"}
    volumes = [{"name": "v", "configMap": {"name": "late"}}]
    await cluster.create("waits", sh("sleep 1000", volumeMounts=[mount]), volumes=volumes)
    pod = await cluster.until("waits", lambda p: waiting(p) == "ContainerCreating")
    assert pod["status"]["hostIP"] == "172.30.0.2"
    assert "configmap" in await cluster.until_event("waits", "FailedMount")
    env = [{"name": "UP", "value": "../../../../etc"}]
    mounts = [{**mount, "subPathExpr": "$(UP)"}]
    empty = [{"name": "v", "emptyDir": {}}]
    await cluster.create("out", sh("sleep 1000", env=env, volumeMounts=mounts), volumes=empty)
    pod = await cluster.until("out", lambda p: waiting(p) == "CreateContainerConfigError")
    assert "must not contain '..'" in str(kubelets.status_of(pod)["state"])
    await config_map(cluster, "late", a="now")
    await cluster.ready("waits")


async def test_users_rights_and_working_directories(cluster: Any) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 5678, "readOnlyRootFilesystem": True}
    container = sh(
        "id -u; id -g; pwd; touch /etc/x", workingDir="/usr/share", securityContext=context
    )
    await cluster.create("p", container, restartPolicy="Never")
    await cluster.until("p", lambda p: p["status"].get("phase") == "Failed")
    assert (await logs(cluster, "p")).split("\n")[:3] == ["1234", "5678", "/usr/share"]
    await cluster.create("q", sh("pwd", workingDir="/no/such/place"), restartPolicy="Never")
    await cluster.until("q", lambda p: p["status"].get("phase") == "Succeeded")
    assert await logs(cluster, "q") == "/no/such/place\n"  # made, as runc does
    await cluster.create("r", sh("true", workingDir="/etc/passwd"), restartPolicy="Never")
    await cluster.until("r", lambda p: p["status"].get("phase") == "Failed")
    assert 'chdir to cwd ("/etc/passwd")' in await cluster.until_event("r", "Failed")


async def test_a_pod_on_the_hosts_network_has_the_nodes_address(cluster: Any) -> None:
    await cluster.create(
        "p", {"image": "nginx", "ports": [{"containerPort": 8088}]}, hostNetwork=True
    )
    pod = await cluster.ready("p")
    assert pod["status"]["podIP"] == "172.30.0.2"
    output = await cluster.network.at("fabric", "curl", "-s", "http://172.30.0.2:8088/hostname")
    assert output == "p"


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
    seen = await logs(cluster, "p", container="debug")
    assert "sleep 1111" in seen and "sleep 2222" not in seen
    await cluster.ready("p")


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
    assert await logs(cluster, "p", container="debug") == "p"


async def test_a_new_kubelet_takes_over_what_runs(cluster: Any) -> None:
    await cluster.create(
        "stays", sh("echo up; sleep 1000"), {"image": "nginx", "ports": [{"containerPort": 80}]}
    )
    await cluster.create(
        "ends", sh("read x < /tmp/fifo || sleep .3; exit 7"), restartPolicy="Never"
    )
    await cluster.create("goes", sh("sleep 1000"))
    before = await cluster.ready("stays")
    for name in ("ends", "goes"):
        await cluster.until(name, lambda p: p["status"].get("phase") == "Running")
    await cluster.stop_kubelet()
    await cluster.client.delete(PODS, "goes", "default", grace_period_seconds=0)
    await asyncio.sleep(0.4)
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


async def test_ports_can_be_reached_through_the_kubelet(cluster: Any) -> None:
    await cluster.create("p", {"image": "nginx", "ports": [{"containerPort": 80}]})
    await cluster.ready("p")
    session = await cluster.kubelet.connect("default", "p", 80)
    await session.write(b"GET /hostname HTTP/1.0\r\n\r\n")
    answer = b""
    while part := await session.read():
        answer += part
    await session.close()
    assert answer.endswith(b"\r\n\r\np")
    with pytest.raises(ApiError, match="localhost:81"):
        await cluster.kubelet.connect("default", "p", 81)


async def _all(session: Any) -> bytes:
    return b"".join([part.data async for part in session.output()])


async def test_exec_with_input_and_a_terminal(cluster: Any) -> None:
    await cluster.create("p", sh("sleep 1000"))
    await cluster.ready("p")
    session = await cluster.kubelet.exec("default", "p", "", ["cat"], stdin=True)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        reading = spawn(group, _all(session), name="read")
        await session.write(b"through" * 50_000)
        await session.close_stdin()
    assert (reading.result(), await session.wait()) == (b"through" * 50_000, 0)
    session = await cluster.kubelet.exec(
        "default", "p", "", ["sh", "-c", "stty size; exit 4"], tty=True
    )
    output = await _all(session)
    assert (output, await session.wait()) == (b"24 80\r\n", 4)
    session = await cluster.kubelet.exec("default", "p", "", ["nosuch"])
    output = await _all(session)
    assert await session.wait() == 127 and b'"nosuch": executable file not found' in output
    with pytest.raises(ApiError, match="container nope is not valid for pod p"):
        await cluster.kubelet.exec("default", "p", "nope", ["true"])


async def test_attach_follows_a_containers_own_output(cluster: Any) -> None:
    await cluster.create(
        "p", sh("while read x; do echo got $x; done", stdin=True), restartPolicy="Never"
    )
    await cluster.ready("p")
    session = await cluster.kubelet.attach("default", "p", "", stdin=True)
    await session.write(b"one\n")
    parts = session.output()
    assert (await anext(parts)).data == b"got one\n"
    await session.kill()


async def test_usage_is_measured(cluster: Any) -> None:
    await cluster.create("busy", sh("while :; do :; done"))
    await cluster.create("idle", sh("sleep 1000"), {"image": "nginx"})
    for name in ("busy", "idle"):
        await cluster.ready(name)
    found = await cluster.kubelet.usage()
    assert found["default", "busy"]["c0"]["cpu"] > 100
    assert found["default", "idle"]["c0"]["cpu"] < 100
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


async def test_a_host_port_leads_to_the_pod_until_it_goes(cluster: Any) -> None:
    port = {"containerPort": 80, "hostPort": 8099}
    await cluster.create("p", {"image": "nginx", "ports": [port]})
    await cluster.create("q", sh("sleep 1000"))
    for name in ("p", "q"):
        await cluster.ready(name)
    url = "http://172.30.0.2:8099/hostname"
    assert await cluster.network.at("fabric", "curl", "-s", url) == "p"
    assert (
        await cluster.network.at("node-1", "curl", "-s", "http://172.30.0.2:8099/hostname") == "p"
    )
    assert await cluster.run("q", "wget", "-qO-", url) == (0, "p")
    assert await cluster.run("p", "wget", "-qO-", url) == (0, "p")
    await cluster.delete("p")
    assert "CNI-DN-" not in await cluster.network.at("node-1", "iptables-save", "-t", "nat")


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


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


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


async def test_input_that_is_given_once_ends_with_its_giver(cluster: Any) -> None:
    container = sh("cat; echo end", stdin=True, stdinOnce=True)
    await cluster.create("p", container, restartPolicy="Never")
    await cluster.ready("p")
    session = await cluster.kubelet.attach("default", "p", "", stdin=True)
    await session.write(b"in\n")
    await session.close_stdin()
    assert await _all(session) == b"in\nend\n"
    assert await session.wait() == 0


async def test_last_words_and_kernel_parameters(cluster: Any) -> None:
    script = "cat /proc/sys/net/ipv4/ip_local_port_range > /dev/termination-log; exit 2"
    parameter = {"name": "net.ipv4.ip_local_port_range", "value": "20000\t30000"}
    context = {"sysctls": [parameter]}
    await cluster.create("p", sh(script), restartPolicy="Never", securityContext=context)
    pod = await cluster.until("p", lambda p: p["status"].get("phase") == "Failed")
    assert ended(pod)["message"] == "20000\t30000\n"


async def test_an_ordinary_user_may_serve_port_80(cluster: Any) -> None:
    user = {"securityContext": {"runAsUser": 1000}}
    await cluster.create("p", sh("busybox httpd -p 80", **user), restartPolicy="Never")
    pod = await cluster.until("p", ended)
    assert ended(pod)["exitCode"] == 0, await logs(cluster, "p")
