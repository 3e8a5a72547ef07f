"""Two machines, one etcd, one cluster: joined, served by both, led on after a death, left again.

Both are this machine, with different names. The etcd wants certificates, as kubeadm's does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from web_deployment import web_deployment

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: busybox, command: [sleep, infinity]}]
"""
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@pytest.fixture
def forwarding() -> Iterator[None]:
    """This machine as the router between the two underlays."""
    before = FORWARD.read_text()
    FORWARD.write_text("1")
    yield
    FORWARD.write_text(before)


def daemon_pid(name: str) -> int:
    return int(json.loads(Path(f"/run/netemu/{name}/daemon.json").read_text())[0])


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def servers(cluster: Any) -> list[str]:
    subsets = cluster.get("endpoints", "kubernetes")["subsets"]
    return [each["ip"] for subset in subsets for each in subset["addresses"]]


def leader(cluster: Any) -> str:
    lease = cluster.get("leases", "kube-controller-manager", "-n", "kube-system")
    return str(lease["spec"]["holderIdentity"])


def nodes(cluster: Any) -> set[str]:
    return {node["metadata"]["name"] for node in cluster.get("nodes")["items"]}


def netemu(*arguments: str) -> subprocess.CompletedProcess[str]:
    from sys import executable

    program = Path(executable).with_name("netemu")
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=120, cwd="/"
    )


@pytest.mark.needs("vxlan", "iptables")
def test_two_machines_are_one_cluster(
    make_etcd, certificates: Path, make_cluster: Callable[..., Any], forwarding: None
) -> None:
    etcd = make_etcd(pki=certificates)
    shared = ["--etcd-servers", etcd.url]
    for flag, name in (("cafile", "ca"), ("certfile", "cert"), ("keyfile", "key")):
        shared += [f"--etcd-{flag}", str(certificates / f"{name}.pem")]
    one = make_cluster("etcd-a", "--nodes", "a-1,a-2", *shared)

    refused = netemu("up", "--name", "etcd-b", "--nodes", "a-2,b-1", *shared)
    assert refused.returncode == 2
    assert 'node a-2 belongs to "etcd-a"' in refused.stderr
    assert not Path("/run/netemu/etcd-b").exists()

    two = make_cluster("etcd-b", "--nodes", "b-1,b-2", *shared)
    assert nodes(one) == nodes(two) == {"a-1", "a-2", "b-1", "b-2"}
    eventually(lambda: len(servers(one)) == 2)
    ranges = {node["spec"]["podCIDR"] for node in one.get("nodes")["items"]}
    assert len(ranges) == 4

    # Written at one, run by the other; in-cluster clients of both reach either server.
    two.run("apply", "-f", "-", stdin=POD.replace("NAME", "pod-a").replace("NODE", "a-1"))
    one.run("apply", "-f", "-", stdin=POD.replace("NAME", "pod-b").replace("NODE", "b-2"))
    for cluster in (one, two):
        cluster.run("wait", "pod/pod-a", "pod/pod-b", "--for=condition=Ready", "--timeout=60s")
    fetch = "for i in 1 2 3 4 5 6; do wget -q -O - --no-check-certificate https://10.96.0.1/livez; "
    for cluster, pod in ((one, "pod-a"), (two, "pod-b")):
        done = cluster.exec(pod, "sh", "-c", f"{fetch} done")
        assert done.stdout.count("ok") == 6, done.stdout + done.stderr
    address = one.get("pod", "pod-b")["status"]["podIP"]
    pinged = one.exec("pod-a", "ping", "-c", "2", "-W", "5", address)
    assert pinged.returncode == 0, pinged.stdout + pinged.stderr

    # The other one's kubelet is not ours to ask.
    elsewhere = two.try_run("logs", "pod-a")
    assert elsewhere.returncode == 1 and 'run by "etcd-a"' in elsewhere.stderr

    # The leader dies: the other leads, and the Service leads to the living only.
    assert "_etcd-a_" in leader(two)
    os.kill(daemon_pid("etcd-a"), signal.SIGKILL)
    on_b = {"kubernetes.io/hostname": "b-1"}
    deployment = web_deployment(nodeSelector=on_b, terminationGracePeriodSeconds=0)
    two.run("apply", "-f", "-", "--timeout", "90s", stdin=deployment)
    assert "_etcd-b_" in leader(two)
    eventually(lambda: len(servers(two)) == 1)

    # It comes back as itself, and leaves for good: its nodes and pods go, the others live on.
    back = netemu("up", "--name", "etcd-a")
    assert back.returncode == 0, back.stderr
    eventually(lambda: len(servers(two)) == 2)
    gone = netemu("down", "--name", "etcd-a")
    assert gone.returncode == 0 and "; 0 left" in gone.stdout
    assert 'the cluster goes on at "etcd-b"' in gone.stdout
    assert nodes(two) == {"b-1", "b-2"}
    assert {pod["metadata"]["name"] for pod in two.get("pods")["items"]} >= {"pod-b"}
    assert two.try_run("get", "pod", "pod-a").returncode == 1

    # Nobody else is there: now the etcd may be emptied.
    last = netemu("down", "--name", "etcd-b", "--purge")
    assert last.returncode == 0 and "; 0 left" in last.stdout
    assert "removed all" in last.stdout
