"""A whole cluster, made once with the command line as a user would, shared by the tests beside it.

The host is compared before and after the whole session (see ../conftest.py), not around each test:
these tests leave pods in the cluster, and the cluster takes them along when it goes.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from web_deployment import web_deployment

ROOT = Path(__file__).parents[3]
NETEMU = Path(sys.executable).with_name("netemu")
LIMIT = 300.0
BESIDE_WEB = """\
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


@pytest.fixture(autouse=True)
def _unchanged_by_each() -> None:
    """Instead of the comparison around each test: the cluster lives on between them."""


@dataclass(frozen=True)
class Cluster:
    """`netemu` on one cluster."""

    name: str

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(NETEMU), *arguments, "--cluster", self.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            **options,
        )

    def try_run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        before, dash, after = _split(arguments)
        return subprocess.run(
            [str(NETEMU), *before, "--cluster", self.name, *dash, *after],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=LIMIT,
        )

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Standard output of a command that must succeed."""
        done = self.try_run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"netemu {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.run("get", *arguments, "-o", "json"))

    def pods(self, **labels: str) -> list[Any]:
        """Pods with these labels that are not on their way out."""
        selector = ",".join(f"{label}={value}" for label, value in labels.items())
        items = self.get("pods", "-l", selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, **labels: str) -> list[Any]:
        """Those of them that are Ready."""
        return [pod for pod in self.pods(**labels) if _is_ready(pod)]

    def is_replaced(self, before: Any) -> bool:
        """Whether another pod has the name of the pod `before`."""
        done = self.try_run("get", "pod", before["metadata"]["name"], "-o", "json")
        return done.returncode == 0 and before["metadata"]["uid"] not in done.stdout

    @contextmanager
    def watching(self, path: str) -> Iterator[list[tuple[str, Any]]]:
        """Every (type, object) that a watch of the API's `path` tells meanwhile, in its order."""
        api = http.client.HTTPConnection("api")
        api.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        api.sock.connect(f"/run/netemu/{self.name}/api.sock")
        api.request("GET", path)
        answer = api.getresponse()
        assert answer.status == 200, answer.read()
        seen: list[tuple[str, Any]] = []

        def read() -> None:
            with suppress(http.client.IncompleteRead):
                for line in answer:
                    event = json.loads(line)
                    seen.append((event["type"], event["object"]))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield seen
        finally:
            api.sock.shutdown(socket.SHUT_RDWR)
            reader.join()
            api.close()

    def until(self, holds: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
        """The first true result; a condition is asked for again, nothing is slept away."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if found := holds():
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {limit} s: {what}")

    def exec(self, where: str, *command: str) -> subprocess.CompletedProcess[str]:
        return self.try_run("exec", where, "--", *command)

    def in_node(self, node: str, *command: str) -> str:
        """Output of a command in the node's own namespace, through plain iproute2."""
        return subprocess.run(
            ["ip", "netns", "exec", f"{self.name}.{node}", *command],
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
        ).stdout


def _is_ready(pod: Any) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _split(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """What is before `--`, the `--` itself, and the command after it."""
    if "--" not in arguments:
        return arguments, (), ()
    at = arguments.index("--")
    return arguments[:at], arguments[at : at + 1], arguments[at + 1 :]


def bring_up(name: str, *arguments: str) -> Cluster:
    done = subprocess.run(
        [str(NETEMU), "up", "--name", name, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Cluster(name)


def take_down(name: str) -> None:
    done = subprocess.run(
        [str(NETEMU), "down", "--name", name], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 left" in done.stdout, done.stdout


@pytest.fixture(scope="module")
def make_cluster() -> Iterator[Callable[..., Cluster]]:
    """Clusters by name and arguments of `up`; all are gone after the module."""
    made: list[str] = []

    def make(name: str, *arguments: str) -> Cluster:
        made.append(name)
        return bring_up(name, *arguments)

    yield make
    for name in made:
        if Path("/run/netemu", name).exists():  # the test may have done it
            take_down(name)


@pytest.fixture(scope="module")
def examples(make_cluster: Callable[..., Cluster]) -> Cluster:
    """A cluster with an outside host, and every example applied."""
    cluster = make_cluster("ex", "-f", "examples/cluster.yaml")
    cluster.run("apply", "-f", "examples/")
    return cluster


@pytest.fixture(scope="session")
def web_manifest() -> str:
    """A Deployment `web` as good practice asks, its Service, and the pod `asker` on node-1."""
    deployment = web_deployment(
        container={
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1},
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        },
        terminationGracePeriodSeconds=30,
    )
    return f"{deployment}\n---\n{BESIDE_WEB}"
