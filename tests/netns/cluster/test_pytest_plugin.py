"""The fixtures of netemu.pytest_plugin, in a pytest session of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RUN = Path("/run/netemu")
LIMIT = 300.0

_CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def netemu_up():
    return {arguments}
"""
_TESTS = """
import socket
import urllib.request

import pytest
from netemu.errors import NetemuError

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}]},
}
SERVICE = '''
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports: [{port: 80}]
'''

def test_a_service_answers(netemu_namespace, tmp_path):
    netemu_namespace.apply([POD])
    netemu_namespace.apply(SERVICE)
    assert "pod: web" in netemu_namespace.exec("web", "wget", "-qO-", "http://web")
    assert netemu_namespace.exec("web", "cat", stdin="hello") == "hello"
    found = netemu_namespace.get("service", "web")
    assert found["metadata"]["namespace"] == netemu_namespace.namespace == "test-a-service-answers"
    address = found["spec"]["clusterIP"]
    def fetch():
        return urllib.request.urlopen(f"http://{address}", timeout=30).read().decode()
    assert "pod: web" in netemu_namespace.inside("web", fetch)
    assert "pod: web" in netemu_namespace.inside("node/node-2", fetch)

def test_the_namespace_has_gone(netemu):
    assert not netemu.run("get", "namespace", "test-a-service-answers", check=False).stdout
    assert netemu.kubeconfig.exists()
    assert netemu.run("proxy-mode").stdout.count("nftables")
    assert len(netemu.get("nodes")["items"]) == 2

def test_a_failure_says_all(netemu):
    with pytest.raises(NetemuError, match='(?s)netemu get pod none: exit code 1.*"none" not found'):
        netemu.run("get", "pod", "none")
    with pytest.raises(NetemuError, match="exit code 3"):
        netemu.exec("node/node-1", "sh", "-c", "exit 3")
"""


def take_down(name: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "netemu.cli", "down", "--name", name], check=True, timeout=LIMIT
    )


def _session(
    folder: Path, tests: str, *flags: str, arguments: tuple[str, ...] = ("--nodes", "1")
) -> subprocess.Popen[str]:
    (folder / "conftest.py").write_text(_CONFTEST.format(arguments=arguments))
    (folder / "test_it.py").write_text(tests)
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, str(folder)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_session_has_a_cluster_and_leaves_nothing(tmp_path: Path) -> None:
    two = ("--nodes", "2", "--proxy-mode", "nftables")
    with _session(tmp_path, _TESTS, arguments=two) as session:
        said, _ = session.communicate(timeout=LIMIT)
        assert "3 passed" in said, said
        assert not (RUN / f"pytest-{session.pid}").exists()


def test_the_example_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/test_nginx.py"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_killed_session_leaves_nothing(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    tests = f"""
import time
def test_long(netemu):
    with open({str(ready)!r}, "w") as told:
        told.write("up")
    time.sleep({LIMIT})
"""
    with _session(tmp_path, tests) as session:
        assert ready.read_text() == "up"
        cluster = RUN / f"pytest-{session.pid}"
        assert cluster.exists()
        session.send_signal(signal.SIGKILL)
        session.communicate(timeout=LIMIT)
    end = time.monotonic() + LIMIT
    while cluster.exists():
        assert time.monotonic() < end, "the cluster of a killed session is still there"
        time.sleep(0.05)


def test_a_cluster_may_be_kept(tmp_path: Path) -> None:
    with _session(tmp_path, "def test_it(netemu): pass", "--netemu-keep") as session:
        said, _ = session.communicate(timeout=LIMIT)
    name = f"pytest-{session.pid}"
    try:
        assert "1 passed" in said and f"netemu down --name {name}" in said, said
    finally:
        take_down(name)


def test_a_cluster_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    wrong = ("--proxy-mode", "none")
    with _session(tmp_path, "def test_it(netemu): pass", arguments=wrong) as session:
        said, _ = session.communicate(timeout=LIMIT)
    assert "1 error" in said and "--proxy-mode" in said, said
