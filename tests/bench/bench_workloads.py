"""Workloads: many pods started, updated and left alone; how soon readiness reaches the data plane.

Targets: 200 pods Ready 3 s after apply, all of them updated in 8 s; 1,000 pods in 10 Deployments in
10 s; from a pod's readiness to rules and DNS 100 ms (p99); an idle daemon with 1,000 pods below 3 %
of a core. `start_floor_s` is what the machine itself needs now: it is shared and noisy.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_cluster import NETEMU, WIDE, deployment, netemu, timed

from netemu.node.netns import call_in

NAME = "bench"
CLUSTER = ("--cluster", NAME)
CHANGES = 100
IDLE_SECONDS = 20.0
TICKS = os.sysconf("SC_CLK_TCK")

GATE = "bench.netemu.dev/ready"
ONE = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "one", "labels": {"app": "one"}},
            "spec": {
                "readinessGates": [{"conditionType": GATE}],
                "containers": [
                    {"name": "main", "image": "bench/app", "ports": [{"containerPort": 80}]}
                ],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "one"},
            "spec": {"selector": {"app": "one"}, "ports": [{"port": 80}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "bare"},
            "spec": {"clusterIP": "None", "selector": {"app": "one"}, "ports": [{"port": 80}]},
        },
    ],
}


def get(*arguments: str) -> Any:
    return json.loads(netemu("get", *CLUSTER, *arguments, "-o", "json"))


def up() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as wide:
        wide.write(WIDE)
        wide.flush()
        netemu("up", "--name", NAME, "--config", wide.name)


def start_floor() -> float:
    """Seconds that 200 network namespaces with a veth pair each take by `ip -batch` alone."""
    spaces = "".join(f"netns add floor-{i}\n" for i in range(200))
    links = "".join(
        f"link add fl{i} type veth peer name eth0 netns floor-{i}\n" for i in range(200)
    )
    start = time.perf_counter()
    for lines in (spaces, links):
        subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
    taken = time.perf_counter() - start
    gone = "".join(f"netns del floor-{i}\n" for i in range(200))
    subprocess.run(["ip", "-batch", "-"], input=gone, text=True, check=True)
    return taken


def one_deployment() -> dict[str, float]:
    """200 pods from apply to Ready and programmed; then their rolling update."""
    apply = ("apply", *CLUSTER, "-f", "-")
    figures = {"ready_200_s": timed(*apply, stdin=deployment("big", 200))}
    container = {"name": "main", "image": "bench/app:2"}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    start = time.perf_counter()
    netemu("patch", *CLUSTER, "deployment", "big", "-p", json.dumps(patch))
    netemu("rollout", "status", *CLUSTER, "deployment/big")
    figures["rolling_update_200_s"] = time.perf_counter() - start
    netemu("delete", *CLUSTER, "deployment", "big")
    while get("pods", "-l", "app=big")["items"]:
        pass
    return figures


def ten_deployments() -> dict[str, float]:
    objects = "\n---\n".join(deployment(f"app-{i}", 100) for i in range(10))
    return {"ready_1000_s": timed("apply", *CLUSTER, "-f", "-", stdin=objects)}


def spent(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def family(pid: int) -> dict[int, str]:
    """Every netemu process that runs here, by pid: the daemon's, supervisors', resolvers'."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(entry.name) != os.getpid() and "netemu" in line and "bench" in line:
            found[int(entry.name)] = line
    return {pid: "daemon"} | found


def idle() -> dict[str, float]:
    """Share of one core, in percent, while nothing changes."""
    daemon: int = json.loads(Path(f"/run/netemu/{NAME}/daemon.json").read_text())[0]
    pids = family(daemon)
    start, before = time.perf_counter(), {pid: spent(pid) for pid in pids}
    time.sleep(IDLE_SECONDS)
    taken = time.perf_counter() - start
    used = {pid: 100 * (spent(pid) - before[pid]) / taken for pid in pids}
    return {"daemon_percent": used[daemon], "all_processes_percent": sum(used.values())}


class Api:
    """Patches over the cluster's socket, without the start of a process each."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(f"/run/netemu/{NAME}/api.sock")

    def set_ready(self, ready: bool) -> None:
        """Open or close the pod's readiness gate."""
        condition = {"type": GATE, "status": "True" if ready else "False"}
        body = json.dumps({"status": {"conditions": [condition]}}).encode()
        head = (
            "PATCH /api/v1/namespaces/default/pods/one/status HTTP/1.1\r\nHost: api\r\n"
            "Content-Type: application/strategic-merge-patch+json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        answer = self._socket.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode())
        header, _, start = answer.partition(b"\r\n\r\n")
        length = int(header.lower().partition(b"content-length:")[2].split()[0])
        while len(start) < length:
            start += self._socket.recv(65536)


def connects(address: str, patience: float) -> bool:
    """Whether the Service leads anywhere within `patience` seconds.

    Without endpoints its rules refuse; but the kernel sends only a few refusals a second
    (icmp_ratelimit), so silence counts too.
    """
    with socket.socket() as client:
        client.settimeout(patience)
        try:
            client.connect((address, 80))
        except OSError:
            return False
        return True


def answers(resolver: str) -> bool:
    """Whether a resolver has an address for the headless Service."""
    name = b"".join(
        bytes((len(label),)) + label.encode()
        for label in ("bare", "default", "svc", "cluster", "local")
    )
    query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + name + b"\0\0\x01\0\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(query, (resolver, 53))
        return int.from_bytes(client.recv(1500)[6:8]) > 0


def until(holds: Callable[[], bool], wanted: bool, start: float) -> float:
    """Milliseconds from `start` until it is so.

    What did not hold did not when it was asked, however long the silence took to count as a no.
    """
    while True:
        asked = time.perf_counter()
        if holds() is wanted:
            return ((time.perf_counter() if wanted else asked) - start) * 1000
        if asked - start > 10:
            raise RuntimeError("no change reached the data plane in 10 s")
        time.sleep(0.001)


def changes() -> dict[str, float]:
    """A pod becomes ready and unready: until the Service's rules and every resolver know it.

    Counted from the request that opens or closes its readiness gate; so the kubelet's and the
    endpoint controller's part is in it.
    """
    netemu("apply", *CLUSTER, "--no-wait", "-f", "-", stdin=json.dumps(ONE))
    asker = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asker"}}
    asker["spec"] = {"containers": [{"name": "main", "image": "pause"}]}  # type: ignore[assignment]
    netemu("apply", *CLUSTER, "-f", "-", stdin=json.dumps(asker))
    address = get("service", "one")["spec"]["clusterIP"]
    pods = get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    resolvers = [pod["status"]["podIP"] for pod in pods]
    path = f"/run/netns/{NAME}.default.asker"
    return call_in(path, lambda: _measure(address, resolvers))


def _measure(address: str, resolvers: list[str]) -> dict[str, float]:
    api, rules, names = Api(), [], []
    for number in range(CHANGES):
        ready = number % 2 == 0
        start = time.perf_counter()
        api.set_ready(ready)
        names.append(max(until(lambda one=each: answers(one), ready, start) for each in resolvers))
        patience = 0.005 if ready else 0.05
        rules.append(until(lambda wait=patience: connects(address, wait), ready, start))
        time.sleep(0.1)
    both = [max(pair) for pair in zip(rules, names, strict=True)]
    return {
        "rules_p50_ms": statistics.median(rules),
        "dns_p50_ms": statistics.median(names),
        "both_p99_ms": statistics.quantiles(both, n=100)[98],
        "both_max_ms": max(both),
    }


def run() -> dict[str, Any]:
    up()
    try:
        figures: dict[str, Any] = {"start_floor_s": start_floor(), **one_deployment()}
        figures |= ten_deployments()
        time.sleep(5)  # the last probes and leases of the start
        figures["idle_1000"] = idle()
        figures["readiness_1000"] = changes()
    finally:
        subprocess.run([NETEMU, "down", "--name", NAME], capture_output=True)
    return figures
