"""WebSockets, and any other upgrade, through the proxy subresource."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

WEB = "/api/v1/namespaces/default/pods/web"


@pytest.fixture
async def sockets():
    """The port of a server with a WebSocket that answers each message with its reverse."""

    async def reverse(request: web.Request) -> web.StreamResponse:
        if request.path != "/ws":
            return web.Response(status=418, text="no socket here")
        socket = web.WebSocketResponse(protocols=("mirror",))
        await socket.prepare(request)
        async for message in socket:
            if message.data == "end":
                break
            await socket.send_str(message.data[::-1])
        return socket

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", reverse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_a_websocket(world, sockets):
    connector = aiohttp.UnixConnector(str(world.socket))
    url = f"http://x{WEB}:{sockets}/proxy/ws?x=y"
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, protocols=["mirror"]) as socket,
    ):
        assert socket.protocol == "mirror"
        for text in ("one", "x" * 1_000_000, "two"):
            await socket.send_str(text)
            assert await socket.receive_str() == text[::-1]
        await socket.send_str("end")
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE


async def test_a_refused_upgrade_ends_the_connection(world, sockets):
    """What follows it must not reach the backend (CVE-2018-1002105)."""
    reader, writer = await asyncio.open_unix_connection(str(world.socket))
    head = f"GET {WEB}:{sockets}/proxy/none HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    second = "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(f"{head}Connection: Upgrade\r\n\r\n{second}".encode())
    async with asyncio.timeout(60):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 418 ") and answer.endswith(b"no socket here")
    assert answer.count(b"HTTP/1.1") == 1 and b"Connection: close" in answer
    writer.close()


async def test_any_protocol(world, serve):
    async def speak(reader, writer):
        assert b"Upgrade: chat" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhello\n")
        writer.write((await reader.readline()).upper())

    port = await serve(speak)
    reader, writer = await asyncio.open_unix_connection(str(world.socket))
    head = f"POST {WEB}:{port}/proxy/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}Upgrade: chat\r\n\r\n".encode())
    async with asyncio.timeout(60):
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ") and b"Upgrade: chat" in answer
        assert await reader.readline() == b"hello\n"
        writer.write(b"you\n")
        assert await reader.read() == b"YOU\n"
    writer.close()


async def test_the_backend_learns_that_the_client_has_gone(world, serve):
    gone = asyncio.Event()

    async def wait(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: chat\r\n\r\n")
        await reader.read()
        gone.set()

    port = await serve(wait)
    reader, writer = await asyncio.open_unix_connection(str(world.socket))
    head = f"GET {WEB}:{port}/proxy/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(60):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await gone.wait()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{WEB}:1/proxy/", 503),
        ("/api/v1/namespaces/default/pods/none/proxy/", 404),
        ("/api/v1/nodes/node-1/proxy/healthz", 400),
        ("/api/v1/namespaces/default/configmaps/a/proxy", 404),
    ],
)
async def test_upgrades_to_nowhere(world, path, code):
    reader, writer = await asyncio.open_unix_connection(str(world.socket))
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
    writer.write(f"{head}Upgrade: websocket\r\n\r\n".encode())
    async with asyncio.timeout(60):
        answer = await reader.read()
    assert answer.startswith(f"HTTP/1.1 {code} ".encode()) and b'"kind":"Status"' in answer
    writer.close()
