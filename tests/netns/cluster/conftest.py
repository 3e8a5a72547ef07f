"""A whole cluster, made once with the command line as a user would, shared by the tests beside it.

The host is compared before and after the whole session (see ../conftest.py), not around each test:
these tests leave pods in the cluster, and the cluster takes them along when it goes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
NETEMU = Path(sys.executable).with_name("netemu")
LIMIT = 120.0


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
