"""A full disk in the middle of a start and of an apply: it is named, and nothing is half-done."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import host_state

pytestmark = pytest.mark.needs("veth", "bridge", "vxlan", "iptables")

NETEMU = str(Path(sys.executable).with_name("netemu"))
NAME = "crowded"
RUN, DATA = Path("/run/netemu"), Path("/var/lib/netemu")
DISKS = [pytest.param(RUN, id="run"), pytest.param(DATA, id="data")]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: example/web, ports: [{containerPort: 80}]}]
"""


@pytest.fixture(autouse=True)
def _unchanged_by_each() -> Iterator[None]:
    before = host_state.observe()
    yield
    left = host_state.wait_until_as(before)
    assert left == [], "\n".join(left)


def netemu(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NETEMU, *arguments], input=stdin, capture_output=True, text=True, timeout=180
    )


@contextmanager
def small(directory: Path) -> Iterator[Path]:
    """The directory on a disk of 24 MB."""
    there = directory.is_dir()
    directory.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", "size=24m,mode=0755", "tmpfs"]
    subprocess.run(["mount", *options, str(directory)], check=True)
    try:
        yield directory
        assert [path for path in directory.rglob("*") if path.name != "filler"] == []
    finally:
        if (RUN / NAME).exists():
            netemu("down", "--name", NAME)
        subprocess.run(["umount", str(directory)], check=True)
        if not there:
            directory.rmdir()


def fill(disk: Path) -> Path:
    """Take all that is left of it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while os.statvfs(disk).f_bavail:  # others write there and remove files meanwhile
            with suppress(OSError):
                file.write(bytes(1 << 16))
    return filler


@pytest.mark.parametrize("directory", DISKS)
def test_full_before_a_start(directory: Path) -> None:
    with small(directory) as disk:
        fill(disk)
        done = netemu("up", "--name", NAME)
        assert done.returncode == 3, done.stderr
        assert str(directory) in done.stderr and "a cluster needs" in done.stderr
        assert f"try: df -h {directory}" in done.stderr


@pytest.mark.parametrize("directory", DISKS)
def test_full_in_the_middle_of_a_start(directory: Path) -> None:
    with small(directory) as disk:
        over = threading.Event()

        def keep_full() -> None:
            while not over.is_set() and not (RUN / NAME / "daemon.json").exists():
                pass
            while not over.is_set():
                with suppress(OSError), open(disk / "filler", "ab", buffering=0) as file:
                    file.write(bytes(1 << 20))

        filling = threading.Thread(target=keep_full)
        filling.start()
        try:
            done = netemu("up", "--name", NAME)
        finally:
            over.set()
            filling.join()
        if done.returncode == 0:  # it was ready before the disk was full
            assert "0 left" in netemu("down", "--name", NAME).stdout
            return
        assert done.returncode == 3, done.stderr
        assert f"{directory}/{NAME}: no space left" in done.stderr, done.stderr
        assert f"try: df -h {directory}" in done.stderr


def test_a_full_store_refuses_and_goes_on_later() -> None:
    with small(DATA) as disk:
        assert netemu("up", "--name", NAME).returncode == 0
        filler = fill(disk)
        done = netemu("apply", "--cluster", NAME, "-f", "-", stdin=DEPLOYMENT)
        assert done.returncode == 1
        assert f"{DATA}/{NAME}/store.db: database or disk is full" in done.stderr, done.stderr
        assert "0 of 1 objects applied" in done.stderr
        assert "No resources found" in netemu("get", "deployments", "--cluster", NAME).stderr
        filler.unlink()
        done = netemu("apply", "--cluster", NAME, "-f", "-", stdin=DEPLOYMENT)
        assert done.returncode == 0, done.stderr
        done = netemu("down", "--name", NAME)
        assert done.returncode == 0 and "0 left" in done.stdout, done.stdout + done.stderr


def test_a_full_run_directory_is_named_and_pods_come_later() -> None:
    with small(RUN) as disk:
        assert netemu("up", "--name", NAME).returncode == 0
        filler = fill(disk)
        apply = ("apply", "--cluster", NAME, "-f", "-")
        done = netemu(*apply, "--timeout", "10s", stdin=DEPLOYMENT)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr, done.stderr
        filler.unlink()
        done = netemu(*apply, stdin=DEPLOYMENT)
        assert done.returncode == 0, done.stderr
        done = netemu("down", "--name", NAME)
        assert done.returncode == 0 and "0 left" in done.stdout, done.stdout + done.stderr


def test_down_needs_no_space() -> None:
    with small(RUN) as disk:
        assert netemu("up", "--name", NAME).returncode == 0
        assert netemu("apply", "--cluster", NAME, "-f", "-", stdin=DEPLOYMENT).returncode == 0
        fill(disk)
        done = netemu("down", "--name", NAME)
        assert done.returncode == 0 and "0 left" in done.stdout, done.stdout + done.stderr
