"""A cluster's life: killed daemons, adoption, equal ranges side by side, the host untouched."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

SERVER = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: busybox, command: [sleep, infinity]}]
"""


def pod(name: str, node: str) -> str:
    return SERVER.replace("NAME", name).replace("NODE", node)


def send(pipe: IO[bytes], size: int) -> None:
    chunk = bytes(1 << 20)
    with pipe:
        for _ in range(size // len(chunk)):
            pipe.write(chunk)


def daemon_pid(name: str) -> int:
    return int(json.loads(Path(f"/run/netemu/{name}/daemon.json").read_text())[0])


def host_view() -> dict[str, Any]:
    """What of the machine's own namespace must not change, whatever a cluster does."""
    run = subprocess.run
    return {
        "rules": run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout,
        "bridges": run(["ip", "-br", "link", "show", "type", "bridge"], capture_output=True).stdout,
        "sysctls": run(
            [
                "sysctl",
                "-a",
                "--pattern",
                r"^net\.(ipv4\.(ip_forward|conf\.(all|default|lo))|bridge)",
            ],
            capture_output=True,
            text=True,
        ).stdout,
    }


def test_the_machine_itself_is_untouched(make_cluster: Callable[..., Any]) -> None:
    before = host_view()
    cluster = make_cluster("quiet", "--nodes", "2")
    assert host_view() == before
    routes = subprocess.run(["ip", "-j", "route"], capture_output=True, text=True).stdout
    ours = [route for route in json.loads(routes) if route["dev"] == "ne-quiet"]
    assert len(ours) == 1, "one veth, one route"
    assert cluster.get("nodes")["items"]


def test_two_clusters_with_the_same_ranges(make_cluster: Callable[..., Any]) -> None:
    clusters = [make_cluster(name, "--nodes", "2") for name in ("left", "right")]
    for cluster in clusters:
        cluster.run(
            "apply", "-f", "-", stdin=pod("here", "node-1") + "---" + pod("there", "node-2")
        )
    ranges = [c.get("node", "node-2")["spec"]["podCIDR"] for c in clusters]
    assert ranges == ["10.244.1.0/24"] * 2
    for cluster in clusters:
        out = cluster.run("ping", "here", "there", "-W", "10")
        assert " 0% packet loss" in out, out


def test_killed_daemon_does_not_hurt_a_transfer(make_cluster: Callable[..., Any]) -> None:
    cluster = make_cluster("phoenix", "--nodes", "2")
    cluster.run("apply", "-f", "-", stdin=pod("source", "node-1") + "---" + pod("sink", "node-2"))
    address = cluster.get("pod", "sink")["status"]["podIP"]
    size = 64 << 20
    # nsenter by name: what runs here must not need the daemon at all
    inside = ["ip", "netns", "exec"]
    sink = subprocess.Popen(
        [*inside, "phoenix.default.sink", "busybox", "nc", "-l", "-p", "5000"],
        stdin=subprocess.PIPE,  # open: nc takes its end for the end of the connection
        stdout=subprocess.PIPE,
    )
    while (
        "5000"
        not in subprocess.run(
            [*inside, "phoenix.default.sink", "ss", "-Hltn"], capture_output=True, text=True
        ).stdout
    ):
        assert sink.poll() is None
    source = subprocess.Popen(
        [*inside, "phoenix.default.source", "busybox", "nc", address, "5000"], stdin=subprocess.PIPE
    )
    assert source.stdin is not None and sink.stdout is not None
    sender = threading.Thread(target=send, args=(source.stdin, size))
    sender.start()
    received, killed = 0, False
    while received < size:
        data = sink.stdout.read1(1 << 20)
        assert data, f"the transfer ended after {received} of {size} bytes"
        received += len(data)
        if not killed and received > size // 8:
            os.kill(daemon_pid("phoenix"), signal.SIGKILL)
            killed = True
    sender.join()
    source.wait(300)
    sink.communicate(timeout=300)

    before = cluster_pods("phoenix")
    done = subprocess.run(
        [str(netemu_path()), "up", "--name", "phoenix"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.get("pod", "sink")["status"]["podIP"] == address
    assert cluster_pods("phoenix") == before, "no process was restarted"
    assert " 0% packet loss" in cluster.run("ping", "source", "sink", "-W", "10")


def netemu_path() -> Path:
    import sys

    return Path(sys.executable).with_name("netemu")


def cluster_pods(name: str) -> set[str]:
    """Processes inside the cluster's pods, by the namespaces they are in."""
    links = {
        os.stat(entry).st_ino
        for entry in Path("/run/netns").iterdir()
        if entry.name.count(".") >= 2 and entry.name.startswith(f"{name}.")
    }
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.stat(entry / "ns/net").st_ino in links:
                    found.add(entry.name)
            except OSError:
                continue  # it ended meanwhile
    return found


def network_maker(name: str) -> int:
    """The daemon's child that runs the same command: the one it forked to build networks."""
    daemon = Path(f"/proc/{daemon_pid(name)}")
    command = command_of(daemon.name)
    while True:  # a program that it starts looks like it until it is executed
        children = Path(daemon, "task", daemon.name, "children").read_text().split()
        found = [pid for pid in children if command_of(pid) == command]
        assert found
        if len(found) == 1:
            return int(found[0])


def command_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has ended


def test_pods_get_networks_without_the_process_that_makes_them(
    make_cluster: Callable[..., Any],
) -> None:
    cluster = make_cluster("maker", "--nodes", "2")
    maker = network_maker("maker")
    cluster.run("apply", "-f", "-", stdin=pod("one", "node-1"))
    os.kill(maker, signal.SIGKILL)
    cluster.run("apply", "-f", "-", stdin=pod("two", "node-2") + "---" + pod("three", "node-1"))
    assert " 0% packet loss" in cluster.run("ping", "one", "two", "-W", "10")
    assert " 0% packet loss" in cluster.run("ping", "three", "two", "-W", "10")


def test_the_process_that_makes_networks_ends_with_the_daemon(
    make_cluster: Callable[..., Any],
) -> None:
    make_cluster("orphan", "--nodes", "1")
    with open_process(network_maker("orphan")) as maker:
        os.kill(daemon_pid("orphan"), signal.SIGKILL)
        assert select.select([maker], [], [], 300)[0], "it lives on"


@contextmanager
def open_process(pid: int) -> Iterator[int]:
    """A pidfd: readable when the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_down_after_a_killed_daemon(make_cluster: Callable[..., Any]) -> None:
    cluster = make_cluster("doomed", "--nodes", "2")
    cluster.run("apply", "-f", "-", stdin=pod("one", "node-1"))
    os.kill(daemon_pid("doomed"), signal.SIGKILL)
    # make_cluster's end runs `down` and asserts "0 left"; the session's end compares the host


def test_a_name_in_use_is_refused(make_cluster: Callable[..., Any]) -> None:
    make_cluster("taken", "--nodes", "1")
    done = subprocess.run(
        [str(netemu_path()), "up", "--name", "taken"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "taken" in done.stderr and "netemu down" in done.stderr
