"""Nodes that join, leave, die and are drained, while a Service is in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SETTINGS = """\
apiVersion: netemu.dev/v1
kind: Cluster
metadata: {name: town}
timing: {nodeLeaseDuration: 3s, nodeMonitorGrace: 4s, podToleration: 2s}
"""
AGENT = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox
        command: [sleep, infinity]
        volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {}}]
"""
BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: web}}}
"""


@pytest.fixture(scope="module")
def town(
    make_cluster: Callable[..., Any],
    web_manifest: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """Short tolerations, a Deployment behind a Service, a pod that asks, a DaemonSet."""
    settings = tmp_path_factory.mktemp("town") / "cluster.yaml"
    settings.write_text(SETTINGS)
    cluster = make_cluster("town", "--config", str(settings))
    cluster.run("apply", "-f", "-", stdin=web_manifest + "---\n" + AGENT)
    return cluster


def nodes_of(pods: list[Any]) -> set[str]:
    return {pod["spec"]["nodeName"] for pod in pods}


def all_pods(cluster: Any, app: str) -> set[str]:
    """Uids of all, those on their way out included."""
    items = cluster.get("pods", "-l", f"app={app}")["items"]
    return {pod["metadata"]["uid"] for pod in items}


def answers(cluster: Any, times: int = 20) -> None:
    script = f"for i in $(seq {times}); do wget -q -T 60 -O /dev/null http://web || exit 1; done"
    done = cluster.exec("asker", "sh", "-c", script)
    assert done.returncode == 0, done.stderr


def test_a_daemon_reaches_a_node_that_joins(town: Any) -> None:
    assert len(town.pods(app="agent")) == 3
    town.run("node", "add", "node-4")
    town.until(lambda: len(town.ready_pods(app="agent")) == 4, "a daemon on node-4")
    assert nodes_of(town.pods(app="agent")) == {f"node-{number}" for number in range(1, 5)}
    (new,) = [pod for pod in town.pods(app="agent") if pod["spec"]["nodeName"] == "node-4"]
    done = town.exec(new["metadata"]["name"], "wget", "-q", "-T", "60", "-O", "/dev/null", "web")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_node_that_is_deleted_leaves_nothing(town: Any, state: str) -> None:
    """Its pods move; its routes, its processes, its namespaces and its address are gone."""
    node = f"node-{state}"
    before = control_groups(node)
    town.run("node", "add", node)
    town.until(lambda: node in nodes_of(town.ready_pods(app="agent")), "the node is in use")
    town.run("scale", "deployment/web", "--replicas", "12")
    town.until(lambda: node in nodes_of(town.ready_pods(app="web")), "it has pods of web")
    subnet = town.get("node", node)["spec"]["podCIDR"]
    assert subnet in town.in_node("node-1", "ip", "route")
    if state == "stopped":
        town.run("node", "stop", node)
    supervisors = [pid for pid in processes() if f"/nodes/{node}" in processes()[pid]]
    assert supervisors
    town.run("node", "delete", node)
    town.until(lambda: subnet not in town.in_node("node-1", "ip", "route"), "its route goes")
    town.until(lambda: len(town.ready_pods(app="web")) == 12, "its pods are replaced")
    pods = ("get", "pods", "-A", "-o", "wide")
    town.until(lambda: node not in town.run(*pods), "all its pods go")
    lease = ("get", "lease", node, "-n", "kube-node-lease")
    town.until(lambda: town.try_run(*lease).returncode != 0, "its lease goes")
    answers(town)
    assert not [line for line in processes().values() if f"/nodes/{node}" in line]
    named = [entry.name for entry in Path("/run/netns").iterdir()]
    assert not [name for name in named if node in name]
    assert not Path(f"/run/netemu/town/nodes/{node}").exists()
    town.until(lambda: volumes() <= uids(town), "no volume of a pod is left that is gone")
    assert control_groups(node) <= before, "killed runs may have left theirs"
    town.run("scale", "deployment/web", "--replicas", "4")
    town.run("rollout", "status", "deployment/web")


def volumes() -> set[str]:
    """Uids of the pods that have some on this machine."""
    return {entry.name for entry in Path("/var/lib/netemu/town/pods").iterdir()}


def uids(cluster: Any) -> set[str]:
    return {pod["metadata"]["uid"] for pod in cluster.get("pods", "-A")["items"]}


def control_groups(node: str) -> set[Path]:
    return set(Path("/sys/fs/cgroup").glob(f"**/netemu-town-{node}*"))


def processes() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def test_a_drain_waits_for_the_budget(town: Any) -> None:
    town.run("apply", "-f", "-", stdin=BUDGET)
    drain = ("drain", "node-3", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
    town.until(lambda: "node-3" in nodes_of(town.ready_pods(app="web")), "node-3 has pods")
    done = town.try_run(*drain, "--timeout", "10s")
    assert done.returncode != 0
    assert "disruption budget" in done.stdout + done.stderr
    assert len(town.pods(app="web")) == 4
    town.run("patch", "pdb", "web", "--type", "merge", "-p", '{"spec": {"maxUnavailable": 1}}')
    town.run(*drain, "--timeout", "300s")
    assert "node-3" not in nodes_of(town.pods(app="web"))
    assert "node-3" in nodes_of(town.pods(app="agent")), "daemons stay"
    town.run("uncordon", "node-3")
    town.run("delete", "pdb", "web")


def test_a_dead_nodes_pods_are_replaced_and_the_service_answers(town: Any) -> None:
    town.until(lambda: len(town.ready_pods(app="web")) == 4, "four web pods")
    dead = max(nodes_of(town.pods(app="web")) - {"node-1"})
    lost = all_pods(town, "web")
    town.run("node", "stop", dead)

    def replaced() -> bool:
        return len([p for p in town.ready_pods(app="web") if p["spec"]["nodeName"] != dead]) == 4

    town.until(replaced, "four web pods on the other nodes")
    town.run("wait", f"node/{dead}", "--for=condition=Ready=Unknown")
    town.run("wait", "deployment/web", "--for=condition=Available")
    answers(town)
    town.run("node", "start", dead)
    stayed = {pod["metadata"]["uid"] for pod in town.pods(app="web")}
    town.until(lambda: all_pods(town, "web") <= stayed, "the old pods go")
    assert lost - stayed
