"""Logs, exec, attach and port-forward over WebSocket, SPDY and plain HTTP."""

import asyncio
import json
import struct
import zlib
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import pytest

from netemu.api.kinds import PODS
from netemu.apiserver.streams.spdydict import DICTIONARY
from netemu.errors import ApiError

WEB = "/api/v1/namespaces/default/pods/web"


def query(**params):
    parts = []
    for key, value in params.items():
        parts += [f"{key}={one}" for one in (value if isinstance(value, list) else [value])]
    return "&".join(parts)


@asynccontextmanager
async def websocket(server, path, protocol="v5.channel.k8s.io"):
    connector = aiohttp.UnixConnector(str(server.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"http://x{path}", protocols=[protocol]) as socket,
    ):
        yield socket


async def channels(socket) -> dict[int, bytes]:
    """All that came, by channel, until the server closed."""
    found: dict[int, bytes] = {}
    async for message in socket:
        found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    return found


def shell(script, **more):
    more = {"container": "main", "stdout": "true", "stderr": "true"} | more
    return f"{WEB}/exec?" + query(command=["sh", "-c", quote(script)], **more)


async def test_exec_over_websocket(server):
    async with websocket(server, shell("echo out; echo err >&2; exit 3")) as socket:
        found = await channels(socket)
    assert (found[1], found[2]) == (b"out\n", b"err\n")
    status = json.loads(found[3])
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_stdin_can_end(server):
    async with websocket(server, shell("wc -c", stdin="true")) as socket:
        for _ in range(10):
            await socket.send_bytes(b"\0" + b"x" * 100_000)
        await socket.send_bytes(b"\xff\0")
        found = await channels(socket)
    assert found[1].strip() == b"1000000" and json.loads(found[3])["status"] == "Success"


async def test_a_terminal_is_resized(server, kubelet):
    async with websocket(server, shell("read x", stdin="true", tty="true")) as socket:
        await socket.send_bytes(b"\4" + b'{"Width":80,"Height":24}')
        await socket.send_bytes(b"\4nonsense")
        await socket.send_bytes(b"\0\n")
        await channels(socket)
    assert kubelet.sessions[0].sizes == [(80, 24)]


async def test_the_command_dies_with_its_client(server, kubelet):
    async with websocket(server, shell("echo up; exec sleep 600")) as socket:
        await socket.receive()
    assert await asyncio.wait_for(kubelet.sessions[0].wait(), 60) == 137


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{WEB}/exec?command=x&stdout=true", 400),  # which of two containers?
        (f"{WEB}/exec?container=other&command=x&stdout=true", 400),
        (f"{WEB}/exec?container=main&stdout=true", 422),
        (f"{WEB}/exec?container=main&command=x", 400),
        ("/api/v1/namespaces/default/pods/gone/exec?command=x&stdout=true", 404),
    ],
)
async def test_refused_before_the_upgrade(server, path, code):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with websocket(server, path):
            pass
    assert caught.value.status == code


async def test_a_command_that_cannot_start_is_said_on_the_error_channel(server):
    path = f"{WEB}/exec?" + query(command="/no/such", container="main", stdout="true")
    async with websocket(server, path) as socket:
        found = await channels(socket)
    assert "/no/such" in json.loads(found[3])["message"]


@pytest.fixture
async def echo():
    """A TCP server that sends everything back; its port."""

    async def serve(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


async def test_ports_over_websocket_channels(server, echo):
    path = f"{WEB}/portforward?ports={echo}"
    async with websocket(server, path, "v4.channel.k8s.io") as socket:
        heads = [await socket.receive_bytes() for _ in range(2)]
        assert heads == [bytes((n,)) + echo.to_bytes(2, "little") for n in (0, 1)]
        await socket.send_bytes(b"\0hello")
        assert await socket.receive_bytes() == b"\0hello"


async def test_a_port_that_nobody_serves(server):
    async with websocket(server, f"{WEB}/portforward?ports=1", "v4.channel.k8s.io") as socket:
        for _ in range(2):
            await socket.receive_bytes()
        message = await asyncio.wait_for(socket.receive_bytes(), 60)
        assert message[0] == 1 and b"error forwarding port 1" in message


class SpdyClient:
    """The client's side of SPDY/3.1, as much as the tests need."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._next = 1
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()

    @classmethod
    @asynccontextmanager
    async def upgrade(cls, server, path, protocol):
        reader, writer = await asyncio.open_unix_connection(str(server.socket))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        writer.write(f"{head}X-Stream-Protocol-Version: {protocol}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer and protocol.encode() in answer
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    def open(self, **headers: str) -> int:
        number, self._next = self._next, self._next + 2
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name, value):
                block += struct.pack(">I", len(text)) + text.encode()
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack(">IIH", number, 0, 0) + packed
        self.writer.write(struct.pack(">II", 0x80030001, len(payload)) + payload)
        return number

    def send(self, number: int, data: bytes, *, fin=False):
        self.writer.write(struct.pack(">II", number, fin << 24 | len(data)) + data)

    async def read_frame(self):
        first, second = struct.unpack(">II", await self.reader.readexactly(8))
        payload = await self.reader.readexactly(second & 0xFFFFFF)
        if not first >> 31:
            self.data[first] = self.data.get(first, b"") + payload
            if second >> 24 & 1:
                self.ended.add(first)

    async def until_ended(self, *numbers: int):
        async with asyncio.timeout(60):
            while not set(numbers) <= self.ended:
                await self.read_frame()


async def test_exec_over_spdy(server):
    script = "cat; head -c 3000000 /dev/zero; exit 5"
    async with SpdyClient.upgrade(server, shell(script, stdin="true"), "v4.channel.k8s.io") as spdy:
        error, stdin, stdout, stderr = (
            spdy.open(streamtype=name) for name in ("error", "stdin", "stdout", "stderr")
        )
        for _ in range(50):
            spdy.send(stdin, b"y" * 10_000)
        spdy.send(stdin, b"", fin=True)
        await spdy.until_ended(error, stdout, stderr)
    assert spdy.data[stdout] == b"y" * 500_000 + bytes(3_000_000)
    assert json.loads(spdy.data[error])["details"]["causes"][0]["message"] == "5"


async def test_ports_over_spdy(server, echo):
    path = f"{WEB}/portforward"
    async with SpdyClient.upgrade(server, path, "portforward.k8s.io") as spdy:
        for request in range(5):
            more = {"port": str(echo), "requestid": str(request)}
            error = spdy.open(streamtype="error", **more)
            spdy.send(error, b"", fin=True)
            data = spdy.open(streamtype="data", **more)
            spdy.send(data, f"request {request}".encode())
            while data not in spdy.data:
                await spdy.read_frame()
            spdy.send(data, b"", fin=True)
            assert spdy.data[data] == f"request {request}".encode()


async def test_nonsense_over_spdy_ends_the_connection(server):
    async with SpdyClient.upgrade(server, f"{WEB}/portforward", "portforward.k8s.io") as spdy:
        spdy.writer.write(struct.pack(">II", 0x80030001, 30) + b"\xff" * 30)
        assert await asyncio.wait_for(spdy.reader.read(), 60) == b""


async def test_logs(server, http, kubelet):
    async def text(**params):
        response = await http.request("GET", f"{WEB}/log", params={"container": "side"} | params)
        data = await response.read()
        http.finish(response)
        return data

    assert await text() == b"line 0\nline 1\nline 2\n"
    await text(tailLines="2", timestamps="true", sinceSeconds="10", limitBytes="5", follow="true")
    options = kubelet.asked[-1]
    assert (options.container, options.tail_lines, options.limit_bytes) == ("side", 2, 5)
    assert options.timestamps and options.follow and options.since_time > 1e9
    for params, code in (({"previous": "true"}, 400), ({"tailLines": "-1"}, 422)):
        with pytest.raises(ApiError) as caught:
            await text(**params)
        assert caught.value.code == code


async def test_a_pod_without_a_node_has_no_streams(server, http, client):
    await client.create(
        PODS,
        {
            "metadata": {"name": "new", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "x"}]},
        },
    )
    with pytest.raises(ApiError) as caught:
        await http.request("GET", "/api/v1/namespaces/default/pods/new/log")
    assert caught.value.code == 400 and "does not have a host assigned" in caught.value.message
