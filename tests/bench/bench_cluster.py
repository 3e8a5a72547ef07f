"""The cluster as a whole: `netemu up`, many pods up and down, memory, first connections.

Everything goes through the command line, as users do it. Published elsewhere, to a running app: k3d
19.9 s, kind 33 s, minikube 50.8 s.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NETEMU = str(Path(sys.executable).with_name("netemu"))
RUNS = 3


WIDE = """
apiVersion: netemu.dev/v1
kind: Cluster
networking: {nodeCIDRMaskSize: 22}
"""
"""Three nodes with 1,021 pod addresses each, instead of 253."""


def netemu(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run([NETEMU, *arguments], input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"netemu {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done.stdout


def timed(*arguments: str, stdin: str = "") -> float:
    start = time.perf_counter()
    netemu(*arguments, stdin=stdin)
    return time.perf_counter() - start


def deployment(name: str, replicas: int, command: list[str] | None = None) -> str:
    container: dict[str, Any] = {
        "name": "main",
        "image": "bench/app",
        "ports": [{"containerPort": 80}],
    }
    if command:
        container = {"name": "main", "image": "busybox", "command": command}
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": template,
            },
        }
    )


def service(name: str) -> str:
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
    )


def start_and_stop() -> dict[str, float]:
    ups, downs = [], []
    for _ in range(RUNS):
        ups.append(timed("up", "--name", "bench"))
        downs.append(timed("down", "--name", "bench"))
    return {"up_s": statistics.median(ups), "down_s": statistics.median(downs)}


def daemon_memory_mb(name: str) -> float:
    pid = json.loads(Path(f"/run/netemu/{name}/daemon.json").read_text())[0]
    match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert match is not None
    return int(match.group(1)) / 1024


def used_mb() -> float:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(fields[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    return (total - free) / 1024


def many_pods(count: int, command: list[str] | None = None) -> dict[str, float]:
    """One Deployment of `count` pods, from apply to Ready; then a Service over them; and down.

    Both steps end with the barrier: packets flow.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as wide:
        wide.write(WIDE)
        wide.flush()
        netemu("up", "--name", "bench", "--config", wide.name)
    before = used_mb()
    apply = ("apply", "--cluster", "bench", "-f", "-")
    figures = {"ready_s": timed(*apply, stdin=deployment("many", count, command))}
    figures["and_service_s"] = timed(*apply, stdin=service("many"))
    figures["daemon_mb"] = daemon_memory_mb("bench")
    figures["per_pod_mb"] = (used_mb() - before) / count
    figures["down_s"] = timed("down", "--name", "bench")
    return figures


def pods_with_service(count: int) -> dict[str, float]:
    """`count` pods behind a Service with one `apply`, and the whole cluster's `down`."""
    netemu("up", "--name", "bench")
    manifests = deployment("many", count) + "\n---\n" + service("many")
    figures = {"up_s": timed("apply", "--cluster", "bench", "-f", "-", stdin=manifests)}
    figures["down_s"] = timed("down", "--name", "bench")
    return figures


def run() -> dict[str, Any]:
    return {
        "start": start_and_stop(),
        "pods_200_standins": many_pods(200),
        "pods_1000_standins": many_pods(1000),
        "pods_1000_processes": many_pods(1000, ["sleep", "infinity"]),
    }
