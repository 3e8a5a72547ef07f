"""Workloads with real pods: what clients of a Service see while pods come, go and move.

No fetch may fail during a rolling update, a bad version must not spread, a StatefulSet keeps its
names and data, and a node that dies is replaced by the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.netns

SETTINGS = """\
apiVersion: netemu.dev/v1
kind: Cluster
metadata: {name: work}
timing: {nodeLeaseDuration: 3s, nodeMonitorGrace: 4s, podToleration: 2s, crashLoopBase: 1s}
"""

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: c
        image: nginx:1
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 1}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: asker}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: busybox, command: [sleep, infinity]}]
"""

FETCH_FOR_A_WHILE = """
count=0
while [ ! -e /tmp/stop ]; do
  wget -q -T 3 -O /dev/null http://web || { echo "failed after $count"; exit 1; }
  count=$((count + 1))
done
echo "fetched $count"
"""


@pytest.fixture(scope="module")
def work(make_cluster: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cluster with short tolerations, a Deployment behind a Service, and a pod that asks."""
    settings = tmp_path_factory.mktemp("work") / "cluster.yaml"
    settings.write_text(SETTINGS)
    cluster = make_cluster("work", "--config", str(settings))
    cluster.run("apply", "-f", "-", stdin=WEB)
    return cluster


def eventually(holds: Callable[[], Any], what: str, limit: float = 60.0) -> Any:
    """The first true result; a condition is asked for again, nothing is slept away."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {limit} s: {what}")


def pods_of(cluster: Any, app: str) -> list[Any]:
    items = cluster.get("pods", "-l", f"app={app}")["items"]
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def images(cluster: Any, app: str) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods_of(cluster, app)}


@pytest.mark.parametrize("mode", ["nftables", "flat", "iptables"])
def test_no_fetch_fails_during_a_rolling_update(work: Any, mode: str) -> None:
    work.run("proxy-mode", mode)
    work.exec("asker", "rm", "-f", "/tmp/stop")
    fetching = work.start("exec", "asker", "--", "sh", "-c", FETCH_FOR_A_WHILE)
    work.run("patch", "deployment", "web", "-p", _image_patch(f"nginx:{mode}"))
    work.run("rollout", "status", "deployment/web", "--timeout", "90s")
    assert images(work, "web") == {f"nginx:{mode}"}
    work.exec("asker", "touch", "/tmp/stop")
    out, err = fetching.communicate(timeout=30)
    assert fetching.returncode == 0, out + err
    assert int(out.split()[-1]) > 10


def _image_patch(image: str, **more: Any) -> str:
    container = {"name": "c", "image": image, **more}
    return json.dumps({"spec": {"template": {"spec": {"containers": [container]}}}})


def test_a_bad_version_stops_and_is_undone(work: Any) -> None:
    before = images(work, "web")
    # A stand-in answers whatever port a probe asks for; a command can fail.
    bad = {"httpGet": None, "exec": {"command": ["false"]}, "periodSeconds": 1}
    work.run("patch", "deployment", "web", "-p", _image_patch("nginx:bad", readinessProbe=bad))
    eventually(lambda: "nginx:bad" in images(work, "web"), "the bad version is tried")
    done = work.try_run("rollout", "status", "deployment/web", "--timeout", "3s")
    assert done.returncode != 0
    good = [
        pod
        for pod in pods_of(work, "web")
        if pod["spec"]["containers"][0]["image"] in before
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    ]
    assert len(good) >= 3
    assert work.exec("asker", "wget", "-q", "-T", "3", "-O", "-", "http://web").returncode == 0
    work.run("rollout", "undo", "deployment/web")
    work.run("rollout", "status", "deployment/web", "--timeout", "60s")
    assert images(work, "web") == before


DB = """\
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox
        command: [sh, -c, "hostname >> /data/names; exec sleep infinity"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def test_a_stateful_pod_keeps_its_name_and_its_data(work: Any) -> None:
    work.run("apply", "-f", "-", stdin=DB)
    started = [(pod["metadata"]["name"], pod["status"]["startTime"]) for pod in pods_of(work, "db")]
    assert [name for name, _ in sorted(started, key=lambda entry: entry[1])] == [
        "db-0",
        "db-1",
        "db-2",
    ]
    before = work.get("pod", "db-1")
    work.run("delete", "pod", "db-1")
    eventually(lambda: _is_another(work, "db-1", before), "db-1 is back")
    work.run("wait", "pod/db-1", "--for=condition=Ready")
    assert work.exec("db-1", "cat", "/data/names").stdout == "db-1\ndb-1\n"
    address = work.get("pod", "db-1")["status"]["podIP"]
    found = work.exec("asker", "nslookup", "db-1.db.default.svc.cluster.local")
    assert address in found.stdout


def _is_another(cluster: Any, name: str, before: Any) -> bool:
    done = cluster.try_run("get", "pod", name, "-o", "json")
    return done.returncode == 0 and before["metadata"]["uid"] not in done.stdout


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
      containers: [{name: c, image: pause}]
"""


def test_a_daemon_reaches_a_node_that_joins(work: Any) -> None:
    work.run("apply", "-f", "-", stdin=AGENT)
    assert len(pods_of(work, "agent")) == 3
    work.run("node", "add", "node-4")
    found = eventually(lambda: len(pods_of(work, "agent")) == 4, "a daemon on node-4")
    assert found
    where = {pod["spec"]["nodeName"] for pod in pods_of(work, "agent")}
    assert where == {"node-1", "node-2", "node-3", "node-4"}


JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: sums}
spec:
  completions: 3
  parallelism: 3
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: c
        image: busybox
        command: [sh, -c, "echo index $JOB_COMPLETION_INDEX on $(hostname)"]
"""


def test_a_job_runs_each_index_once(work: Any) -> None:
    work.run("apply", "-f", "-", stdin=JOB)
    work.run("wait", "job/sums", "--for=condition=Complete", "--timeout", "60s")
    assert work.get("job", "sums")["status"]["completedIndexes"] == "0-2"
    pods = work.get("pods", "-l", "job-name=sums")["items"]
    said = sorted(work.run("logs", pod["metadata"]["name"]) for pod in pods)
    assert said == [f"index {i} on sums-{i}\n" for i in range(3)]


BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: web}}}
"""


def test_a_drain_waits_for_the_budget(work: Any) -> None:
    work.run("apply", "-f", "-", stdin=BUDGET)
    drain = ("drain", "node-3", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
    done = work.try_run(*drain, "--timeout", "3s")
    assert done.returncode != 0
    assert "disruption budget" in done.stdout + done.stderr
    assert len(pods_of(work, "web")) == 4
    work.run("patch", "pdb", "web", "--type", "merge", "-p", '{"spec": {"maxUnavailable": 1}}')
    work.run(*drain, "--timeout", "60s")
    assert "node-3" not in {pod["spec"]["nodeName"] for pod in pods_of(work, "web")}
    work.run("uncordon", "node-3")
    work.run("delete", "pdb", "web")


def test_a_dead_nodes_pods_are_replaced_and_the_service_answers(work: Any) -> None:
    lost = {
        pod["metadata"]["uid"]
        for pod in pods_of(work, "web")
        if pod["spec"]["nodeName"] == "node-2"
    }
    assert lost
    work.run("node", "stop", "node-2")

    def replaced() -> bool:
        ready = [
            pod
            for pod in pods_of(work, "web")
            if pod["spec"]["nodeName"] != "node-2"
            and any(
                c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"]
            )
        ]
        return len(ready) == 4

    eventually(replaced, "four web pods on the other nodes")
    work.run("wait", "node/node-2", "--for=condition=Ready=Unknown")
    work.run("wait", "deployment/web", "--for=condition=Available")
    for _ in range(20):
        done = work.exec("asker", "wget", "-q", "-T", "2", "-O", "/dev/null", "http://web")
        assert done.returncode == 0, done.stderr
    work.run("node", "start", "node-2")
    eventually(lambda: not lost & {p["metadata"]["uid"] for p in _all(work, "web")}, "old pods go")


def _all(cluster: Any, app: str) -> list[Any]:
    found: list[Any] = cluster.get("pods", "-l", f"app={app}")["items"]
    return found


def test_top_shows_who_burns_the_processor(work: Any) -> None:
    work.run("run", "burn", "--image", "busybox", "--command", "--", *BURN)

    def burning() -> bool:
        shown = work.try_run("top", "pod", "burn", "--no-headers").stdout.split()
        return len(shown) == 3 and int(shown[1].removesuffix("m")) > 100

    eventually(burning, "the processor time of a pod that burns it")
    lines = work.run("top", "node", "--no-headers").splitlines()
    node = work.get("pod", "burn")["spec"]["nodeName"]
    used = {line.split()[0]: int(line.split()[1].removesuffix("m")) for line in lines}
    assert used[node] > 100
    work.run("delete", "pod", "burn", "--grace-period", "1")


BURN = ("sh", "-c", "while :; do :; done")
