"""The privileged tier: it runs as root, says what it lacks, and proves that it left nothing.

NETEMU_REQUIRE=netns,vxlan,… names what must be there: a test that lacks it fails instead of being
skipped, and so does a run in which nothing ran.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import host_state
import kubelets
from netemu.errors import CapabilityError
from netemu.node import capabilities, netns, netns_directory

_required = {name for name in os.environ.get("NETEMU_REQUIRE", "").split(",") if name}
_ran: list[str] = []
_failed: set[str] = set()
_left_behind: list[str] = []
LEFT_BEHIND = 10
"""Exit status where the end of a test that passed failed: what was left behind gets no second try
in CI. A test that failed may leave something: it is tried again as a whole."""
_HERE = str(Path(__file__).parent)
_RUN = Path("/run/netemu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory belongs to the tier."""
    for item in items:
        if str(item.path).startswith(_HERE):
            item.add_marker(pytest.mark.netns)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*capabilities): names of netemu.node.capabilities that a test needs"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = ["root", "netns"]
    for marker in item.iter_markers("needs"):
        wanted += marker.args
    for name in wanted:
        try:
            capabilities.require(name)
        except CapabilityError as error:
            if name in _required:
                pytest.fail(f"{error} (NETEMU_REQUIRE asks for it)")
            pytest.skip(f"{error} ({error.hint})")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.nodeid.startswith("tests/netns") and not report.skipped:
        _ran.append(report.nodeid)
    if report.failed and report.when != "teardown":
        _failed.add(report.nodeid)
    elif report.failed and report.nodeid not in _failed:
        _left_behind.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Nothing ran, although the tier was asked for: that is a failure. So is what was left."""
    if _left_behind:
        session.exitstatus = LEFT_BEHIND
    if _required and not _ran and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nthe netns tier ran no test, and NETEMU_REQUIRE asks for it", file=sys.stderr)


@pytest.fixture(scope="session", autouse=True)
def _unchanged_by_all() -> Iterator[None]:
    """The host is after the session as it was before."""
    if os.geteuid() != 0:
        yield
        return
    os.environ[host_state.MARKER] = uuid.uuid4().hex
    before = host_state.observe()
    yield
    left = host_state.wait_until_as(before)
    assert left == [], "\n".join(left)


@pytest.fixture(autouse=True)
def _unchanged_by_each(_unchanged_by_all: None) -> Iterator[None]:
    """The host is after each test as it was before."""
    if os.geteuid() != 0:
        yield
        return
    before = host_state.observe()
    yield
    left = host_state.wait_until_as(before)
    assert left == [], "\n".join(left)


@pytest.fixture
async def cluster() -> AsyncIterator[Any]:
    """One node with a kubelet: see kubelets.py."""
    async with kubelets.cluster() as made:
        yield made


@pytest.fixture
def path() -> Iterator[str]:
    """A node's namespace with its loopback up, and nothing else."""
    with netns_directory.machine_lock(_RUN):
        netns_directory.prepare(_RUN)
    netns.create("proxytest").close()
    made = netns.path_of("proxytest")
    netns.run_blocking(made, ["ip", "link", "set", "lo", "up"])
    yield made
    netns.delete(made)
    with netns_directory.machine_lock(_RUN):
        netns_directory.give_back(_RUN)
