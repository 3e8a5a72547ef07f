"""What a thousand clients cost that watch and hear nothing, and one that does not listen."""

import asyncio
import contextlib
import re
import resource
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netemu.api.kinds import CONFIG_MAPS
from netemu.client.http import HttpClient

WATCHES = 1000
MOST = 50 << 20
CHANGES, SIZE = 5000, 4_000
LIMIT = 600.0

_SERVE = """
import asyncio, resource, sys
from pathlib import Path
from netemu.apiserver.server import ApiServer
from netemu.apiserver.auth.user import User
from netemu.config.cluster import ClusterConfig
from netemu.store.sqlite import SqliteStore

async def main(folder):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    user = User(name="me", groups=("system:masters",))
    server = ApiServer(ClusterConfig(), store=SqliteStore(folder / "db"), socket=folder / "s",
                       pki=folder / "pki", tokens={"me": user})
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run(ready=ready))
        await ready.wait()
        print(server.port, flush=True)
        await task

asyncio.run(main(Path(sys.argv[1])))
"""


class Server:
    def __init__(self, pid: int, folder: Path, port: int) -> None:
        self.pid, self.folder, self.port = pid, folder, port

    @property
    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10

    async def connect(self, tls: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not tls:
            return await asyncio.open_unix_connection(str(self.folder / "s"))
        context = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt"))
        return await asyncio.open_connection("localhost", self.port, ssl=context)

    async def watch(self, tls: bool) -> asyncio.StreamWriter:
        reader, writer = await self.connect(tls)
        path = "/api/v1/configmaps?watch=true&resourceVersion=1&allowWatchBookmarks=true"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer me\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        return writer


@pytest.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most[1] < 2 * WATCHES:
        pytest.skip(f"this machine lets a process open {most[1]} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most[1], most[1]))
    folder = tmp_path_factory.mktemp("w")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _SERVE, folder, stdout=-1)
    assert process.stdout is not None
    yield Server(process.pid, folder, int(await process.stdout.readline()))
    process.kill()
    await process.wait()
    resource.setrlimit(resource.RLIMIT_NOFILE, most)


@pytest.mark.parametrize("tls", [False, True], ids=["socket", "TLS"])
async def test_a_thousand_idle_watches(server: Server, tls: bool) -> None:
    async with asyncio.timeout(LIMIT):
        writers = [await server.watch(tls) for _ in range(10)]  # what the first one loads is kept
        before = server.memory
        writers += [await server.watch(tls) for _ in range(WATCHES)]
        assert server.memory - before < MOST, f"{(server.memory - before) >> 10} KiB"
        for writer in writers:
            writer.close()


async def test_a_watch_that_is_not_read_is_cut_off(server: Server) -> None:
    """Ten of them cost no memory beyond the history that is kept for everybody."""
    client = HttpClient.unix(server.folder / "s")
    await client.create(CONFIG_MAPS, {"metadata": {"name": "big", "namespace": "default"}})

    async def write() -> None:
        for number in range(CHANGES):
            patch = {"data": {"n": str(number), "x": "y" * SIZE}}
            await client.patch(CONFIG_MAPS, "big", "default", patch)

    async with asyncio.timeout(LIMIT):
        await write()  # history and caches are full from here on
        stuck = []
        for _ in range(10):
            reader, writer = await server.connect(tls=False)
            revision = (await client.list(CONFIG_MAPS)).revision
            path = f"/api/v1/configmaps?watch=true&resourceVersion={revision}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()
            stuck.append((reader, writer))
        before = server.memory
        await write()
        assert server.memory - before < MOST, f"{(server.memory - before) >> 10} KiB"
        for reader, writer in stuck:
            writer.transport.resume_reading()
            received = 0
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(1 << 20):
                    received += len(data)
            assert received < CHANGES * SIZE / 2, "it was never cut off"
            writer.close()
    await client.close()
