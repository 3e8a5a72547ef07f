"""What unit tests of several packages share: an etcd of the test's own."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[str]:
    """The client URL of an etcd of the test's own; NETEMU_ETCD may name the program."""
    program = os.environ.get("NETEMU_ETCD") or shutil.which("etcd")
    if program is None:
        pytest.skip("no etcd on this machine: apt install etcd-server")
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        client, peer = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in found)
    process = subprocess.Popen(
        [
            *(program, "--data-dir", tmp_path / "etcd", "--unsafe-no-fsync", "--name", "test"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"test={peer}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_healthy(client)
        yield client
    finally:
        process.kill()
        process.wait()


def _wait_healthy(url: str) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
                if b"true" in answer.read():
                    return
        except OSError:
            assert time.monotonic() < end, "etcd did not start"
        time.sleep(0.02)
