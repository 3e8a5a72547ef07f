"""pytest fixtures: a running cluster for a test session, and a namespace of its own for each test.

    def test_the_service_answers(netemu_namespace):
        netemu_namespace.apply(Path("web.yaml"))            # returns when packets flow
        assert "nginx" in netemu_namespace.exec("client", "wget", "-qO-", "http://web")

The session's cluster has a name of its own, so sessions run side by side. It is taken away when the
session ends, also when pytest is killed: a small keeper process waits for that.
https://docs.pytest.org/en/stable/how-to/writing_plugins.html
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from netemu.errors import NetemuError

T = TypeVar("T")

_KEPT = pytest.StashKey[str]()
"""The cluster that `--netemu-keep` leaves."""

_NETEMU = (sys.executable, "-m", "netemu.cli")
_KEEPER = "import os, sys; sys.stdin.read(); os.execv(sys.argv[1], sys.argv[1:])"
"""Waits until nobody holds the other end of its standard input, and becomes `netemu down`."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. `namespace` is where commands look when they name none."""

    name: str
    namespace: str = "default"

    def run(
        self, *arguments: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`netemu ARGUMENTS` on this cluster, with its output as text.

        NetemuError with all that it said when it fails and `check` is set.
        """
        named = {"NETEMU_NAME": self.name, "NETEMU_NAMESPACE": self.namespace}
        done = subprocess.run(
            [*_NETEMU, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **named},
        )
        if check and done.returncode:
            raise NetemuError(
                f"netemu {' '.join(arguments)}: exit code {done.returncode}\n"
                f"{done.stdout}{done.stderr}".rstrip()
            )
        return done

    def apply(self, manifests: Path | str | Iterable[Mapping[str, Any]], *more: str) -> str:
        """Apply a file or folder (Path), YAML (str) or objects; return when packets flow.

        `more`: further flags, such as `--timeout=120s`. Returns what `netemu apply` printed.
        """
        if isinstance(manifests, Path):
            return self.run("apply", "-f", str(manifests), *more).stdout
        if not isinstance(manifests, str):
            items = list(manifests)
            manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        return self.run("apply", "-f", "-", *more, stdin=manifests).stdout

    def get(self, *arguments: str) -> Any:
        """`netemu get ARGUMENTS -o json`: one object, or a List with `items`."""
        return json.loads(self.run("get", *arguments, "-o", "json").stdout)

    def exec(self, where: str, *command: str, stdin: str = "") -> str:
        """Standard output of a command in a pod, `node/NAME` or `host/NAME`. It must succeed."""
        flags = ["-i"] if stdin else []
        return self.run("exec", where, *flags, "--", *command, stdin=stdin).stdout

    def inside(self, where: str, function: Callable[[], T]) -> T:
        """Call `function` in a thread that is in the network namespace of a pod, node or host.

        A socket that it opens stays there, so a test can serve and connect as a pod does.
        """
        from netemu.node import netns

        kind, slash, name = where.partition("/")
        parts = (name,) if slash and kind in ("node", "host") else (self.namespace, where)
        return netns.call_in(netns.path_of(".".join((self.name, *parts))), function)

    @property
    def kubeconfig(self) -> Path:
        """For kubectl and client libraries; its user may do everything."""
        return Path(self.run("kubeconfig", "--path").stdout.strip())


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("netemu", "clusters of network namespaces")
    group.addoption(
        "--netemu-keep", action="store_true", help="leave the cluster running when the session ends"
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if name := config.stash.get(_KEPT, ""):
        terminalreporter.write_line(
            f"cluster {name} is still there: NETEMU_NAME={name} netemu status;"
            f" netemu down --name {name}"
        )


@pytest.fixture(scope="session")
def netemu_up() -> Sequence[str]:
    """Further arguments of `netemu up`, such as `["-f", "cluster.yaml"]`: to be overridden."""
    return ()


@pytest.fixture(scope="session")
def netemu(netemu_up: Sequence[str], pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A cluster that runs as long as the session does."""
    cluster = Cluster(f"pytest-{os.getpid()}")
    if pytestconfig.getoption("--netemu-keep"):
        pytestconfig.stash[_KEPT] = cluster.name
        cluster.run("up", *netemu_up)
        yield cluster
        return
    with _Keeper(cluster.name):
        cluster.run("up", *netemu_up)
        yield cluster


@pytest.fixture
def netemu_namespace(netemu: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The session's cluster, seen from a fresh namespace that goes with the test."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = words[:63].rstrip("-") or "test"
    netemu.run("create", "namespace", name)
    yield replace(netemu, namespace=name)
    netemu.run("delete", "namespace", name)


class _Keeper:
    """Takes the cluster away at the end of the block, or when this process dies."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _KEEPER, *_NETEMU, "down", "--name", self._name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def __exit__(self, *failure: object) -> None:
        said, _ = self._process.communicate()
        if self._process.returncode and not any(failure):
            raise NetemuError(f"netemu down --name {self._name}:\n{said}".rstrip())
