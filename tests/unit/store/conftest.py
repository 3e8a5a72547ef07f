import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from netemu.aio import spawn
from netemu.store.etcd import EtcdStore
from netemu.store.memory import MemoryStore
from netemu.store.protocol import Store
from netemu.store.sqlite import SqliteStore


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


@pytest.fixture(params=["memory", "sqlite", "etcd"])
def unopened(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of store, empty."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "sqlite":
        return SqliteStore(tmp_path / "store.db")
    return EtcdStore([request.getfixturevalue("etcd")])


@pytest.fixture
async def store(unopened: Store) -> AsyncIterator[Store]:
    """Each kind of store, open and empty."""
    async with asyncio.TaskGroup() as group:
        running = spawn(group, unopened.run(), name="store")
        await unopened.open()
        yield unopened
        running.cancel()
        await asyncio.wait((running,))
        await unopened.close()
