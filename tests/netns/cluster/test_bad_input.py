"""What pods and workloads say that cannot work; their neighbours don't notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    command: [sleep, infinity]
    MORE
  volumes: [{name: v, emptyDir: {}}]
"""
BIG = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: big}
spec:
  replicas: 1000000000
  selector: {matchLabels: {app: big}}
  template:
    metadata: {labels: {app: big}}
    spec: {containers: [{name: c, image: pause, resources: {requests: {cpu: "60"}}}]}
"""


@pytest.fixture(scope="module")
def odd(make_cluster: Callable[..., Any], web_manifest: str) -> Any:
    cluster = make_cluster("odd", "--nodes", "2")
    cluster.run("apply", "-f", "-", stdin=web_manifest)
    return cluster


@pytest.fixture(autouse=True)
def _neighbours_go_on(odd: Any) -> Iterator[None]:
    """Nobody else restarts, and the Service answers."""
    yield
    assert odd.exec("asker", "wget", "-q", "-T", "60", "-O", "/dev/null", "web").returncode == 0
    pods = odd.pods(app="web")
    assert sum(each["status"]["containerStatuses"][0]["restartCount"] for each in pods) == 0


def start(cluster: Any, name: str, more: str) -> None:
    manifest = POD.replace("NAME", name).replace("MORE", more)
    if more.startswith("command:"):
        manifest = manifest.replace("    command: [sleep, infinity]\n", "")
    cluster.run("apply", "--no-wait", "-f", "-", stdin=manifest)


def state_of(cluster: Any, name: str) -> Any:
    statuses = cluster.get("pod", name)["status"].get("containerStatuses") or [{}]
    return statuses[0].get("state") or {}


def until_waiting(cluster: Any, name: str, reason: str) -> str:
    def told() -> str:
        waiting = state_of(cluster, name).get("waiting") or {}
        return waiting["message"] if waiting.get("reason") == reason else ""

    message: str = cluster.until(told, f"{name} says {reason}")
    return message


def until_event(cluster: Any, name: str, text: str) -> None:
    about = ("get", "events", "--field-selector", f"involvedObject.name={name}")
    cluster.until(lambda: text in cluster.run(*about), f"{name}: {text}")


@pytest.mark.parametrize(
    ("kind", "more", "text"),
    [
        ("configmap", "envFrom: [{configMapRef: {name: late}}]", 'configmap "late" not found'),
        (
            "secret",
            "env: [{name: A, valueFrom: {secretKeyRef: {name: later, key: a}}}]",
            'secret "later" not found',
        ),
    ],
)
def test_a_pod_waits_for_what_it_refers_to(odd: Any, kind: str, more: str, text: str) -> None:
    name = f"wants-{kind}"
    start(odd, name, more)
    assert until_waiting(odd, name, "CreateContainerConfigError") == text
    until_event(odd, name, f"Error: {text}")
    create = ("configmap", "late") if kind == "configmap" else ("secret", "generic", "later")
    odd.run("create", *create, "--from-literal", "a=b")
    odd.run("wait", f"pod/{name}", "--for=condition=Ready", "--timeout", "60s")


def test_a_command_that_does_not_exist(odd: Any) -> None:
    start(odd, "nothing", "command: [nosuch]")
    until_waiting(odd, "nothing", "CrashLoopBackOff")
    (status,) = odd.get("pod", "nothing")["status"]["containerStatuses"]
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    until_event(odd, "nothing", 'exec: "nosuch": executable file not found in $PATH')
    odd.run("delete", "pod", "nothing")


def test_a_probe_on_a_port_that_has_no_such_name(odd: Any) -> None:
    """It is told, and counts as nothing: not ready, and not restarted either."""
    probe = "{tcpSocket: {port: nosuch}, periodSeconds: 1, failureThreshold: 1}"
    start(odd, "unnamed", f"readinessProbe: {probe}\n    livenessProbe: {probe}")
    for kind in ("Readiness", "Liveness"):
        text = f"{kind} probe errored and resulted in unknown state: couldn't find port: nosuch"
        until_event(odd, "unnamed", text)
    (status,) = odd.get("pod", "unnamed")["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (False, 0)
    odd.run("delete", "pod", "unnamed")


@pytest.mark.parametrize(
    ("mount", "text"),
    [
        ("subPath: ../../etc", "must not contain '..'"),
        ("subPath: /etc", "must be a relative path"),
        ("subPathExpr: ../etc", "must not contain '..'"),
    ],
)
def test_a_path_that_leads_out_is_refused(odd: Any, mount: str, text: str) -> None:
    more = f"volumeMounts: [{{name: v, mountPath: /v, {mount}}}]"
    manifest = POD.replace("NAME", "out").replace("MORE", more)
    done = odd.try_run("apply", "-f", "-", stdin=manifest)
    assert done.returncode != 0
    assert text in done.stdout + done.stderr


LINK = """\
  initContainers:
  - name: before
    image: busybox
    command: [ln, -s, /etc, /v/link]
    volumeMounts: [{name: v, mountPath: /v}]
"""


def test_a_link_that_leads_out_leads_to_the_volume(odd: Any) -> None:
    """What one container leaves in a volume must not open the machine to the next."""
    mount = "volumeMounts: [{name: v, mountPath: /v, subPath: link}]"
    manifest = POD.replace("NAME", "link").replace("MORE", mount) + LINK
    odd.run("apply", "-f", "-", stdin=manifest)
    assert odd.exec("link", "ls", "-A", "/v").stdout == ""
    assert "passwd" in odd.exec("link", "ls", "/etc").stdout
    odd.run("delete", "pod", "link")


def test_a_fork_bomb_is_bounded(odd: Any) -> None:
    node = odd.get("node", "node-1")
    if "pids" not in node["metadata"]["annotations"]["netemu.dev/enforced-limits"]:
        pytest.skip("no pids controller on this machine")
    before = len(list(Path("/proc").glob("[0-9]*")))
    bomb = "f() { f | f & }; f; while :; do sleep 1; done"
    start(odd, "bomb", f"command: [sh, -c, '{bomb}']\n    resources: {{limits: {{cpu: 100m}}}}")
    odd.run("wait", "pod/bomb", "--for=condition=Ready", "--timeout", "60s")
    refused = ("logs", "bomb", "--tail", "5")
    odd.until(lambda: "fork" in odd.run(*refused), "the limit is reached")
    assert len(list(Path("/proc").glob("[0-9]*"))) - before < 5000
    odd.run("delete", "pod", "bomb", "--timeout", "60s")


def test_endless_logs_are_rotated(odd: Any) -> None:
    start(odd, "noisy", "command: [sh, -c, 'yes noise']\n    resources: {limits: {cpu: 500m}}")
    pattern = "nodes/node-1/pods/default_noisy_*/c"

    def rotated() -> list[Path]:
        (logs,) = Path("/run/netemu/odd").glob(pattern)
        return list(logs.glob("0.log.*"))

    odd.run("wait", "pod/noisy", "--for=condition=Ready", "--timeout", "60s")
    odd.until(rotated, "a log is put aside")
    (logs,) = Path("/run/netemu/odd").glob(pattern)
    size = 0
    for entry in logs.iterdir():
        with suppress(FileNotFoundError):  # it is being put aside again
            size += entry.stat().st_size
    assert size < 100 << 20
    assert odd.run("logs", "noisy", "--tail", "1") == "noise\n"
    odd.run("delete", "pod", "noisy")


def test_a_thousand_million_replicas_start_bit_by_bit_and_go_at_once(odd: Any) -> None:
    odd.run("apply", "--no-wait", "-f", "-", stdin=BIG)
    odd.until(lambda: len(odd.pods(app="big")) > 100, "some are made")
    told = "0/2 nodes are available: 2 Insufficient cpu"
    odd.until(lambda: told in odd.run("get", "events"), "they don't fit")
    odd.run("delete", "deployment", "big")
    odd.until(lambda: not odd.pods(app="big"), "all are gone", 120)
