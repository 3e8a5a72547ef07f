"""Mininet's single,200 beside netemu's 200 pods with a Service, in one run.

Mininet is Debian's package (`apt-get install mininet bridge-utils`), with Linux bridges. Its hosts
are namespaces with a shell; netemu's are Kubernetes pods, made by a Deployment and reachable
through a Service when the clock stops. Both are timed from the start of their commands; what
Mininet needs for building alone is shown besides. Down is the whole cluster against the network.
The kernel frees namespaces behind both: each starts when it has done with the other's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import bench_cluster
import bench_podnetwork

HOSTS = 200
ROUNDS = 5
PYTHON = "/usr/bin/python3"
SCRIPT = str(Path(__file__).with_name("mininet_single.py"))


def installed() -> bool:
    check = subprocess.run([PYTHON, "-c", "import mininet"], capture_output=True)
    return check.returncode == 0


def mininet(hosts: int = HOSTS) -> dict[str, float]:
    """Seconds up, of these building, and down."""
    bench_podnetwork.settle()
    command = [PYTHON, SCRIPT, str(hosts), str(time.monotonic())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if not figures.pop("ping"):
        raise RuntimeError(f"Mininet's hosts do not reach each other: {done.stdout}{done.stderr}")
    return figures


def netemu_pods(count: int = HOSTS) -> dict[str, float]:
    """Seconds from `apply` to all pods Ready behind a Service, and of `down`."""
    bench_podnetwork.settle()
    figures = bench_cluster.pods_with_service(count)
    return {"up": figures["up_s"], "down": figures["down_s"]}


def run() -> dict[str, Any]:
    if not installed():
        return {"skipped": "apt-get install mininet bridge-utils"}
    runs = [(mininet(), netemu_pods()) for _ in range(ROUNDS)]
    figures: dict[str, Any] = {}
    for phase in ("up", "down"):
        theirs = statistics.median(one[phase] for one, _ in runs)
        ours = statistics.median(other[phase] for _, other in runs)
        figures[f"mininet_{phase}_s"] = round(theirs, 3)
        figures[f"netemu_{phase}_s"] = round(ours, 3)
        figures[f"{phase}_times_faster"] = round(theirs / ours, 1)
    figures["mininet_build_s"] = round(statistics.median(one["build"] for one, _ in runs), 3)
    return figures
