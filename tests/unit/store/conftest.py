import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netemu.aio import spawn
from netemu.store.etcd import EtcdStore
from netemu.store.memory import MemoryStore
from netemu.store.protocol import Store
from netemu.store.sqlite import SqliteStore


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
