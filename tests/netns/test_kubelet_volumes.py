"""Volumes: what is in them, and what they keep out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubelets
from kubelets import sh, waiting


async def test_volumes_of_keys_follow_their_objects(cluster: Any) -> None:
    await cluster.config_map("cm", **{"a.conf": "one", "b": "two"})
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
    await cluster.config_map("late", a="now")
    await cluster.ready("waits")


async def test_a_pod_that_fills_its_volume_is_evicted(cluster: Any) -> None:
    mount = {"name": "v", "mountPath": "/v"}
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    script = "head -c 3000000 /dev/urandom > /v/file; sleep 1000"
    await cluster.create("good", sh("sleep 1000", volumeMounts=[mount]), volumes=volumes)
    await cluster.create("p", sh(script, volumeMounts=[mount]), volumes=volumes)
    pod = await cluster.until("p", lambda p: p["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "Evicted"
    message = 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
    assert pod["status"]["message"] == message == await cluster.until_event("p", "Evicted")
    conditions = {each["type"]: each for each in pod["status"]["conditions"]}
    assert conditions["DisruptionTarget"]["reason"] == "TerminationByKubelet"
    assert kubelets.is_ready(cluster.pods.get("default/good"))


async def test_a_volume_in_memory_is_as_large_as_its_limit(cluster: Any) -> None:
    own = {"name": "v", "mountPath": "/v"}
    sub = {"name": "v", "mountPath": "/sub", "subPath": "a/b"}
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    both = [sh("sleep 1000", volumeMounts=[own, sub]), sh("sleep 1000", volumeMounts=[own])]
    await cluster.create("p", *both, volumes=volumes, securityContext={"fsGroup": 4242})
    await cluster.ready("p")
    script = "df -k /v | tail -n 1 | awk '{print $2}'; stat -c '%a %g' /v; echo one > /sub/x"
    assert await cluster.run("p", "sh", "-c", script) == (0, "1024\n2777 4242\n")
    fill = "rm -f /v/file; head -c 3000000 /dev/zero > /v/file; cat /v/a/b/x"
    code, output = await cluster.run("p", "sh", "-c", fill, container="c1")
    assert (code, "one" in output.splitlines()) == (0, True)  # output and errors in either order
    assert "No space left on device" in output
    mounted = {point for pid in _processes(cluster) for point in _volumes_mounted_in(pid)}
    assert len(mounted) == 1
    assert not _volumes_mounted_in("self")
    await cluster.delete("p")  # the kernel takes the mount away with its directory
    assert not any(_volumes_mounted_in(pid) for pid in _processes(cluster))


def _processes(cluster: Any) -> list[str]:
    """What lives as long as the node: the holder of namespaces and the supervisor."""
    return [str(e["pid"]) for e in cluster.network.ledger.entries() if e.kind == "process"]


def _volumes_mounted_in(pid: str) -> list[str]:
    points = [line.split()[1] for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
    return [point for point in points if "/volumes/" in point]
