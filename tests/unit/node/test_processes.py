from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from netemu.node.processes import Process, end, inside, kill, start_time


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process
        process.kill()


def test_a_process_is_alive_until_it_ends(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert process.alive
    sleeper.kill()
    sleeper.wait()
    assert not process.alive


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert kill([process]) == []
    assert not process.alive
    assert sleeper.wait() == -signal.SIGKILL


def test_another_process_with_that_pid_is_not_touched(sleeper: subprocess.Popen[bytes]) -> None:
    stale = Process(sleeper.pid, start_time(sleeper.pid) - 1)
    assert not stale.alive
    assert end([stale], grace=0.0) == []
    assert kill([stale]) == []
    assert sleeper.poll() is None


def test_no_such_process() -> None:
    assert start_time(0x3FFFFFFF) == 0
    assert not Process.of(0x3FFFFFFF).alive


def test_end_asks_first(sleeper: subprocess.Popen[bytes]) -> None:
    assert end([Process.of(sleeper.pid)], grace=5.0) == []
    assert sleeper.wait() == -signal.SIGTERM


def test_end_kills_who_does_not_listen() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        assert end([Process.of(deaf.pid)], grace=0.05) == []
        assert deaf.wait() == -signal.SIGKILL


def test_inside_finds_by_namespace(sleeper: subprocess.Popen[bytes]) -> None:
    own = os.stat("/proc/self/ns/net").st_ino
    found = {process.pid for process in inside({own})}
    assert sleeper.pid in found
    assert os.getpid() not in found
    assert list(inside({1})) == []
