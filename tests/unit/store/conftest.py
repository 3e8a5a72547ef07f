from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netemu.store.memory import MemoryStore
from netemu.store.protocol import Store
from netemu.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each kind of store, open and empty."""
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.db")
    await made.open()
    yield made
    await made.close()
