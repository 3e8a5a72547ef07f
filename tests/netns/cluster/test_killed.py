"""`kill -9` at any moment of `up`, `apply`, a rollout and `down`: adopted, or nothing is left.

A moment is a number of things that the ledger names (it does so before they are made), or of
files that are still there: conditions, not times. A few moments belong to every run; for more:

    NETEMU_KILLS=30 scripts/isolated .venv/bin/pytest tests/netns/cluster/test_killed.py
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import host_state
from netemu.node import processes
from netemu.node.processes import Process

pytestmark = pytest.mark.needs("veth", "bridge", "vxlan", "iptables")

NETEMU = str(Path(sys.executable).with_name("netemu"))
NAME = "killed"
RUN = Path("/run/netemu") / NAME
KILLS = int(os.environ.get("NETEMU_KILLS", "2"))
"""Moments of each kind."""
PATIENCE = 300.0

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 12
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web, round: "ROUND"}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {name: stand-in, image: example/web, ports: [{containerPort: 80}]}
        - {name: process, image: busybox, command: [sleep, infinity]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture(autouse=True)
def _unchanged_by_each() -> Iterator[None]:
    """Stricter than the comparison around other tests here: nothing of a cluster stays."""
    before = host_state.observe()
    yield
    if RUN.exists():
        netemu("down", "--name", NAME)
    left = host_state.wait_until_as(before)
    assert left == [], "\n".join(left)


def netemu(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NETEMU, *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE
    )


def start(*arguments: str, stdin: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [NETEMU, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    return process


def manifest(number: int) -> str:
    return DEPLOYMENT.replace("ROUND", str(number))


def ledger_lines() -> int:
    try:
        return (RUN / "ledger").read_bytes().count(b"\n")
    except OSError:
        return 0


def reach(moment: Callable[[], bool], command: subprocess.Popen[str]) -> bool:
    """Wait for a moment; False when the command is over before."""
    limit = time.monotonic() + PATIENCE
    while not moment():
        if command.poll() is not None:
            return moment()
        assert time.monotonic() < limit, "the moment does not come"
    return True


def files() -> int:
    """How many there are; they may go while we look."""
    return sum(len(names) for _, _, names in os.walk(RUN))


def kill_daemon() -> None:
    try:
        pid, started = json.loads((RUN / "daemon.json").read_bytes())
    except FileNotFoundError:
        return  # not started yet
    assert processes.kill([Process(pid, started)]) == []


def moments(seed: str, least: int, most: int) -> list[int]:
    """Always the first and the last, and between them always the same ones."""
    chosen = random.Random(seed)
    return [least, most, *(chosen.randint(least, most) for _ in range(KILLS - 2))]


def must_down() -> None:
    done = netemu("down", "--name", NAME)
    assert done.returncode == 0 and "0 left" in done.stdout, done.stdout + done.stderr
    assert not RUN.exists()


def must_come_back() -> None:
    done = netemu("up", "--name", NAME)
    assert done.returncode == 0, done.stdout + done.stderr
    done = netemu("apply", "--cluster", NAME, "-f", "-", stdin=manifest(99))
    assert done.returncode == 0, done.stdout + done.stderr
    pods = json.loads(netemu("get", "pods", "--cluster", NAME, "-o", "json").stdout)["items"]
    names = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert len(names) == 12, names
    fetch = ("-c", "process", "--", "wget", "-O-", "-T60", "-t1", "http://web")
    done = netemu("exec", "--cluster", NAME, names[0], *fetch)
    assert done.returncode == 0, done.stdout + done.stderr


def apply_and_kill(objects: str, lines: int) -> None:
    """Apply, and kill the daemon as soon as its ledger has that many lines more."""
    before = ledger_lines()
    with start("apply", "--cluster", NAME, "-f", "-", stdin=objects) as apply:
        reach(lambda: ledger_lines() >= before + lines, apply)
        kill_daemon()
        apply.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("lines", moments("up", 1, 45))
def test_the_daemon_dies_while_it_starts(lines: int) -> None:
    """`up` says so and leaves nothing."""
    with start("up", "--name", NAME) as up:
        reach(lambda: ledger_lines() >= lines, up)
        kill_daemon()
        _, error = up.communicate(timeout=PATIENCE)
    if up.returncode == 0:  # it was ready before
        must_down()
        return
    assert "the daemon ended before it was ready" in error, error
    assert not RUN.exists()


@pytest.mark.parametrize("lines", moments("both", 1, 45))
def test_both_die_while_it_starts(lines: int) -> None:
    """Nobody could clear away: the next `up` takes over, or `down` does."""
    with start("up", "--name", NAME) as up:
        reach(lambda: ledger_lines() >= lines, up)
        up.kill()
        kill_daemon()
        up.communicate(timeout=PATIENCE)
    if lines % 2:
        must_come_back()
    must_down()


@pytest.mark.parametrize("lines", moments("apply", 1, 40))
def test_the_daemon_dies_while_pods_come(lines: int) -> None:
    assert netemu("up", "--name", NAME).returncode == 0
    apply_and_kill(manifest(0), lines)
    if lines % 2:
        must_come_back()
    must_down()


@pytest.mark.parametrize("lines", moments("rollout", 1, 60))
def test_the_daemon_dies_during_a_rollout(lines: int) -> None:
    assert netemu("up", "--name", NAME).returncode == 0
    done = netemu("apply", "--cluster", NAME, "-f", "-", stdin=manifest(0))
    assert done.returncode == 0, done.stdout + done.stderr
    apply_and_kill(manifest(1), lines)
    must_come_back()
    must_down()


@pytest.mark.parametrize("percent", moments("down", 0, 90))
def test_down_dies(percent: int) -> None:
    """Killed while it removes things; the next one removes the rest."""
    assert netemu("up", "--name", NAME).returncode == 0
    done = netemu("apply", "--cluster", NAME, "-f", "-", stdin=manifest(0))
    assert done.returncode == 0, done.stdout + done.stderr
    size = files()
    with start("down", "--name", NAME) as down:
        reach(lambda: files() <= size * (100 - percent) // 100, down)
        down.kill()
        down.communicate(timeout=PATIENCE)
    if RUN.exists():
        if percent % 3 == 0:
            done = netemu("up", "--name", NAME)  # of what is half gone: comes up, or says why not
            assert done.returncode == 0 or "netemu down" in done.stderr, done.stderr
        if RUN.exists():
            must_down()
    else:
        assert netemu("clean").returncode == 0  # killed at its very end: directories are empty
