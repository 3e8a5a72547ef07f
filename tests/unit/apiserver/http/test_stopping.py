"""A server that stops ends what is open, soon: watches, half-sent requests, silent connections."""

import asyncio
import time
from pathlib import Path

import pytest

from netemu.aio import spawn
from netemu.apiserver.server import ApiServer
from netemu.config.cluster import ClusterConfig
from netemu.store.memory import MemoryStore

SPACE = "/api/v1/namespaces/default/configmaps"
OPEN = {
    "silence": b"",
    "half-a-header": b"GET / HTTP/1.1\r\nHost:",
    "half-a-body": f"POST {SPACE} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode(),
    "watch": f"GET {SPACE}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "idle": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("sent", OPEN.values(), ids=OPEN.keys())
@pytest.mark.parametrize("over", ["socket", "TLS port"])
async def test_nothing_stays_open(tmp_path: Path, sent: bytes, over: str) -> None:
    server = ApiServer(
        ClusterConfig(), store=MemoryStore(), socket=tmp_path / "s", pki=tmp_path / "pki"
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = spawn(group, server.run(ready=ready), name="server")
        await ready.wait()
        if over == "socket":
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(sent)
        else:  # where not even TLS has begun
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent[:4])
        await asyncio.sleep(0.05)  # it reaches the server
        start = time.monotonic()
        running.cancel()
        await asyncio.wait((running,))
        async with asyncio.timeout(30):
            await reader.read()
        assert time.monotonic() - start < 30
        writer.close()
