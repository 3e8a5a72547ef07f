import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netemu.aio import spawn
from netemu.apiserver.server import ApiServer
from netemu.client.http import HttpClient
from netemu.client.protocol import ApiClient
from netemu.config.cluster import ClusterConfig
from netemu.store.memory import MemoryStore


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    """An API server on a unix socket and a free loopback port."""
    folder = Path(tempfile.mkdtemp(prefix="api"))  # tmp_path may be too long for a socket
    made = ApiServer(
        ClusterConfig(), store=MemoryStore(), socket=folder / "api.sock", pki=folder / "pki"
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = spawn(group, made.run(ready=ready), name="server")
        await ready.wait()
        yield made
        task.cancel()
    shutil.rmtree(folder)


@pytest.fixture(params=["local", "http"])
async def client(request: pytest.FixtureRequest, server: ApiServer) -> AsyncIterator[ApiClient]:
    """Each kind of client."""
    if request.param == "local":
        yield server.local_client()
        return
    made = HttpClient.unix(server.socket)
    yield made
    await made.close()
