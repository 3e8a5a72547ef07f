"""kubectl on real pods: terminals, attachments, logs through a rollout, debug containers, ports."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kubectls import ENDS, KUBECTLS

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not KUBECTLS, reason="no kubectl: apt install kubernetes-client"),
]
LIMIT = 300.0
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: busybox
      stdin: true
      command: [sh, -c, "echo ready; while read x; do echo heard $x; done"]
    - {name: web, image: nginx, ports: [{containerPort: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: talk}
spec:
  replicas: 1
  selector: {matchLabels: {app: talk}}
  template:
    metadata: {labels: {app: talk}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: main
          image: busybox
          command: [sh, -c, "trap 'echo bye; exit' TERM; echo hello; while :; do sleep 0.1; done"]
"""


@pytest.fixture(scope="module")
def cluster(make_cluster: Callable[..., Any]) -> Any:
    made = make_cluster("kpods", "--nodes", "2")
    made.run("apply", "-f", "-", stdin=PODS)
    made.run("wait", "pod/shell", "--for=condition=Ready", "--timeout=60s")
    made.run("rollout", "status", "deployment/talk", "--timeout=60s")
    return made


@pytest.fixture(params=ENDS)
def words(request: pytest.FixtureRequest, cluster: Any) -> list[str]:
    return [KUBECTLS[request.param], "--kubeconfig", cluster.run("kubeconfig", "--path").strip()]


@pytest.fixture
def kubectl(words: list[str]) -> Callable[..., str]:
    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*words, *arguments], input=stdin, capture_output=True, text=True, timeout=LIMIT
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


class Terminal:
    """kubectl on a terminal of its own."""

    def __init__(self, words: list[str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(words[0], words)
        self.seen = b""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def write(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, text: str) -> None:
        end = time.monotonic() + LIMIT
        while text.encode() not in self.seen:
            ready = select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]
            assert ready, self.seen
            try:
                self.seen += os.read(self.fd, 4096)
            except OSError:
                raise AssertionError(self.seen) from None

    def wait(self) -> int:
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:  # EIO: it has ended
                break
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_terminal_that_changes_its_size(words: list[str]) -> None:
    terminal = Terminal([*words, "exec", "-it", "shell", "-c", "main", "--", "sh"])
    terminal.write("stty -echo; echo begin-$((1 + 1))\n")
    terminal.until("begin-2")
    terminal.resize(101, 33)
    # The new size goes its own way beside what is typed: ask until it has arrived.
    terminal.write("until stty size | grep -q '33 101'; do sleep 0.05; done; echo sized-$((1+1))\n")
    terminal.until("sized-2")
    terminal.write("exit 9\n")
    assert terminal.wait() == 9


def test_attach_to_what_runs(words: list[str]) -> None:
    process = subprocess.Popen(
        [*words, "attach", "-i", "shell", "-c", "main"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("you\n")
    process.stdin.flush()
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "heard you" in line:
            break
    process.kill()
    process.communicate()
    assert lines[-1] == "heard you\n"


def test_logs_follow_to_the_end_of_a_pod(words: list[str], kubectl: Callable[..., str]) -> None:
    """A rollout ends the old pod: the stream shows its last words, and ends with it."""
    pods = json.loads(kubectl("get", "pods", "-l", "app=talk", "-o", "json"))["items"]
    (pod,) = (each for each in pods if "deletionTimestamp" not in each["metadata"])
    follow = [*words, "logs", "-f", pod["metadata"]["name"]]
    process = subprocess.Popen(follow, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "hello\n"
        # Not `rollout restart`: kubectl refuses a second one within a second.
        kubectl("set", "env", "deployment/talk", f"ROUND={pod['metadata']['uid']}")
        kubectl("rollout", "status", "deployment/talk", "--timeout=60s")
        out, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.communicate()
    assert out == "bye\n" and process.returncode == 0
    follow = [*words, "logs", "-f", "deployment/talk"]  # it may be ready before it speaks
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hello\n"
        process.kill()


def test_a_debug_container(words: list[str], kubectl: Callable[..., str]) -> None:
    version = kubectl("version", "--client")
    if "1.20" in version:
        pytest.skip("kubectl debug is alpha in this one")
    name = f"debug-{len(kubectl('get', 'pod', 'shell', '-o', 'json'))}"
    script = "wget -q -O - http://localhost; echo code $?"
    debug = ("debug", "shell", "--image=busybox", "-c", name, "--target=web", "--attach")
    shown = kubectl(*debug, "--quiet", "--", "sh", "-c", script)
    if "code 0" not in shown:  # it may have ended before the attachment: its log has it
        shown = kubectl("logs", "shell", "-c", name)
    assert "code 0" in shown
    pod = json.loads(kubectl("get", "pod", "shell", "-o", "json"))
    assert name in [each["name"] for each in pod["spec"]["ephemeralContainers"]]


def test_copies_both_ways(kubectl: Callable[..., str], tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "inner").mkdir(parents=True)
    data = os.urandom(300_000)
    (there / "inner" / "data").write_bytes(data)
    kubectl("cp", str(there), "shell:/tmp/there", "-c", "main")
    assert kubectl("exec", "shell", "-c", "main", "--", "ls", "/tmp/there/inner") == "data\n"
    kubectl("cp", "shell:/tmp/there", str(tmp_path / "back"), "-c", "main")
    assert (tmp_path / "back" / "inner" / "data").read_bytes() == data
    kubectl("exec", "shell", "-c", "main", "--", "rm", "-r", "/tmp/there")


@pytest.fixture
def forwarded(words: list[str]) -> Iterator[int]:
    process = subprocess.Popen(
        [*words, "port-forward", "pod/shell", ":80"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().split(":")[1].split()[0])
    reader = threading.Thread(target=process.stdout.read)  # a line for each connection
    reader.start()
    yield port
    process.terminate()
    process.wait()
    reader.join()
    process.stdout.close()


def test_many_connections_through_one_port(forwarded: int) -> None:
    def fetch(_: int) -> bytes:
        with socket.create_connection(("127.0.0.1", forwarded), timeout=LIMIT) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(4096), b""))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(fetch, range(40)))
    assert all(b" 200 " in answer and b"shell" in answer for answer in answers)


def test_top_and_describe(cluster: Any, kubectl: Callable[..., str]) -> None:
    assert "shell" in kubectl("top", "pods")
    assert "node-1" in kubectl("top", "nodes")
    assert "Running" in kubectl("describe", "pod", "shell")
    cluster.until(lambda: "Started container" in kubectl("describe", "pod", "shell"), "an event")
    assert "node-2" in kubectl("describe", "nodes")
