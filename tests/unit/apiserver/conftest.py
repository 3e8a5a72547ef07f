import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from netemu.aio import spawn
from netemu.apiserver.auth.user import User
from netemu.apiserver.local import LocalClient
from netemu.apiserver.server import ApiServer
from netemu.client.http import HttpClient
from netemu.config.cluster import ClusterConfig
from netemu.store.memory import MemoryStore


@pytest.fixture
async def make_server() -> AsyncIterator[Callable[..., ApiServer]]:
    """Makes servers that run until the test is over: `await make_server(config, **more)`."""
    folder = Path(tempfile.mkdtemp(prefix="api"))  # tmp_path may be too long for a socket
    async with asyncio.TaskGroup() as group:
        tasks = []

        async def make(config: ClusterConfig | None = None, **more) -> ApiServer:
            more.setdefault("store", MemoryStore())
            more.setdefault("socket", folder / "api.sock")
            more.setdefault("pki", folder / "pki")
            tokens = {"somebody": User(name="somebody", groups=("system:authenticated",))}
            server = ApiServer(
                config or ClusterConfig(),
                tokens=tokens,
                **more,
            )
            ready = asyncio.Event()
            tasks.append(spawn(group, server.run(ready=ready), name="server"))
            await ready.wait()
            return server

        yield make
        for task in tasks:
            task.cancel()
    shutil.rmtree(folder)


@pytest.fixture
async def server(make_server) -> ApiServer:
    return await make_server()


@pytest.fixture
def client(server: ApiServer) -> LocalClient:
    return server.local_client()


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[HttpClient]:
    made = HttpClient.unix(server.socket, user_agent="tests/1.0")
    yield made
    await made.close()
