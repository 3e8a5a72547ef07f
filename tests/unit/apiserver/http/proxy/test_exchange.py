"""HTTP through pods/, services/ and nodes/…/proxy, against servers that answer on real sockets."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from netemu.apiserver.auth.pki import Pki
from netemu.apiserver.http.proxy.exchange import backend_path

PODS = "/api/v1/namespaces/default/pods"
WEB = f"{PODS}/web"
SERVICE = "/api/v1/namespaces/default/services"


@asynccontextmanager
async def session(world):
    connector = aiohttp.UnixConnector(str(world.socket))
    async with aiohttp.ClientSession(
        connector=connector, base_url="http://x", auto_decompress=False
    ) as made:
        yield made


async def read_request(reader):
    """(start line, headers as a list, body) of one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    start, *lines = head.strip().split("\r\n")
    fields = [tuple(line.split(": ", 1)) for line in lines]
    found = {name.lower(): value for name, value in fields}
    body = b""
    if found.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
    elif "content-length" in found:
        body = await reader.readexactly(int(found["content-length"]))
    return start, fields, body


def answering(answer: bytes, seen: list | None = None):
    async def serve(reader, writer):
        request = await read_request(reader)
        if seen is not None:
            seen.append(request)
        writer.write(answer)
        await writer.drain()

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_method_path_query_and_body_arrive_as_sent(world, serve, method):
    seen = []
    port = await serve(answering(OK, seen))
    headers = {
        "Authorization": "Bearer somebody",
        "Impersonate-User": "system:admin",
        "Impersonate-Group": "system:masters",
        "Connection": "X-Mine",
        "X-Mine": "1",
        "X-Two": "2",
    }
    url = f"{WEB}:{port}/proxy/a%2Fb//c%20d?e=f%26g&h"
    async with session(world) as http:
        body = b"" if method in ("GET", "HEAD") else b"data"
        answer = await http.request(
            method, aiohttp.client.URL(f"http://x{url}", encoded=True), headers=headers, data=body
        )
        text = await answer.read()
    assert (answer.status, text) == (200, b"" if method == "HEAD" else b"hi")
    start, fields, got = seen[0]
    assert start == f"{method} /a/b/c%20d?e=f%26g&h HTTP/1.1" and got == body
    names = {name.lower(): value for name, value in fields}
    assert names["x-two"] == "2" and names["host"] == "x"
    assert names["x-forwarded-uri"] == f"{WEB}:{port}/proxy/a/b/c%20d"
    assert not {"authorization", "impersonate-user", "impersonate-group", "x-mine"} & set(names)


async def test_names_of_pods_and_their_ports(world, serve, kubelet):
    port = await serve(answering(OK))
    async with session(world) as http:
        assert (await http.get(f"{WEB}:{port}/proxy/")).status == 200
        for name in ("web", "web:http", "web:80", "http:web:80"):
            assert (await http.get(f"{PODS}/{name}/proxy/")).status in (200, 503)
    asked = [number for _, number in kubelet.dialled]
    assert asked == [port, 1, 80, 80, 80]
    assert {address for address, _ in kubelet.dialled} == {"10.244.0.5"}


async def test_services_lead_to_ready_pods(world, serve, kubelet, publish):
    seen = []
    port = await serve(answering(OK, seen))
    await publish(port)
    async with session(world) as http:
        for name in ("web:http", "web:80", "http:web:http"):
            answer = await http.get(f"{SERVICE}/{name}/proxy/x")
            assert (answer.status, await answer.read()) == (200, b"hi")
        for name, message in (
            ("web", 'no endpoints available for service "web"'),
            ("web:other", 'no endpoints available for service "web:other"'),
            ("web:99", 'no service port 99 found for service "web"'),
        ):
            answer = await http.get(f"{SERVICE}/{name}/proxy/x")
            status = await answer.json()
            assert (answer.status, status["message"]) == (503, message)
    assert kubelet.dialled == [("10.244.0.5", port)] * 3


async def test_a_service_whose_pods_are_not_ready(world, publish):
    await publish(1, ready=False)
    async with session(world) as http:
        answer = await http.get(f"{SERVICE}/web:http/proxy/")
        assert (answer.status, (await answer.json())["reason"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{PODS}/gone/proxy/", 404),
        (f"{SERVICE}/gone/proxy/", 404),
        ("/api/v1/nodes/gone/proxy/healthz", 404),
        (f"{PODS}/a:b:c:d/proxy/", 400),
        (f"{PODS}/ftp:web:80/proxy/", 400),
        (f"{PODS}/web:none/proxy/", 400),
        (f"{PODS}/web:99999/proxy/", 400),
        ("/api/v1/nodes/node-1:x/proxy/", 400),
        (f"{PODS}/web:1/proxy/", 503),
        (f"{SERVICE}/:80/proxy/", 400),
        ("/api/v1/namespaces/default/configmaps/a/proxy/", 404),
    ],
)
async def test_nowhere(world, path, code):
    async with session(world) as http:
        answer = await http.get(path)
        status = await answer.json()
        assert (answer.status, status["kind"], status["code"]) == (code, "Status", code)


async def test_a_path_without_its_slash_is_redirected(world):
    async with session(world) as http:
        answer = await http.get(f"{WEB}:80/proxy?a=b%26", allow_redirects=False)
        assert answer.status == 301
        assert answer.headers["Location"] == f"{WEB}:80/proxy/?a=b%26"


async def test_redirects_and_links_lead_back(world, serve):
    page = b'<html><a href="/x">test</a></html>'
    answers = [
        b"HTTP/1.1 302 Found\r\nLocation: /there?a=b\r\nContent-Length: 0\r\n"
        b"Access-Control-Allow-Origin: *\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"
        % (len(page), page),
    ]
    packed = gzip.compress(page)
    answers.append(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(packed), packed)
    )
    async with session(world) as http:
        found = []
        for each in answers:
            port = await serve(answering(each))
            answer = await http.get(f"{WEB}:{port}/proxy/", allow_redirects=False)
            found.append((port, answer, await answer.read()))
    port, answer, _ = found[0]
    assert answer.headers["Location"] == f"{WEB}:{port}/proxy/there?a=b"
    assert "Access-Control-Allow-Origin" not in answer.headers
    for port, answer, text in found[1:]:
        if answer.headers.get("Content-Encoding") == "gzip":
            text = gzip.decompress(text)
        assert text.decode() == f'<html><a href="{WEB}:{port}/proxy/x">test</a></html>'


async def test_a_backend_with_tls(world, serve, tmp_path):
    pki = Pki(tmp_path)
    port = await serve(answering(OK), ssl=pki.server_context(["localhost"]))
    async with session(world) as http:
        answer = await http.get(f"{PODS}/https:web:{port}/proxy/")
        assert (answer.status, await answer.read()) == (200, b"hi")
        answer = await http.get(f"{PODS}/http:web:{port}/proxy/")
        assert answer.status == 503


async def test_bodies_stream_both_ways_at_once(world, serve):
    """What arrives is sent back before the request has ended: nobody waits for the whole."""

    async def echo(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await reader.readline(), 16):
            data = await reader.readexactly(size)
            await reader.readline()
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    port = await serve(echo)
    back: asyncio.Queue[bytes] = asyncio.Queue()

    async def parts():
        for number in range(5):
            yield b"part %d" % number
            assert await back.get() == b"part %d" % number

    async with (
        asyncio.timeout(60),
        session(world) as http,
        http.post(f"{WEB}:{port}/proxy/", data=parts()) as answer,
    ):
        async for data, _ in answer.content.iter_chunks():
            back.put_nowait(data)


async def test_much_is_never_held_whole(world, serve):
    """The backend is read no faster than the client reads."""
    written = 0

    async def pour(reader, writer):
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    port = await serve(pour)
    reader, writer = await asyncio.open_unix_connection(str(world.socket))
    writer.write(f"GET {WEB}:{port}/proxy/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(60):
        assert b"200" in await reader.readline()
        before = -1
        while written != before:  # until it stands still
            before = written
            for _ in range(20):
                await asyncio.sleep(0.01)
    assert written < 30_000_000
    writer.close()


async def test_an_answer_that_breaks_off_does_not_look_whole(world, serve):
    port = await serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
    chunked = await serve(
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    )
    async with session(world) as http:
        for each in (port, chunked):
            with pytest.raises(aiohttp.ClientError):
                await (await http.get(f"{WEB}:{each}/proxy/")).read()


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"x" * 200_000],
)
async def test_backends_that_speak_no_http(world, serve, answer):
    port = await serve(answering(answer))
    async with session(world) as http:
        found = await http.get(f"{WEB}:{port}/proxy/")
        assert (found.status, (await found.json())["kind"]) == (503, "Status")
        assert (await http.get("/version")).status == 200


async def test_an_early_answer_ends_the_upload(world, serve):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    port = await serve(refuse)

    async def endless():
        for _ in range(1000):
            yield b"x" * 65536

    async with session(world) as http, asyncio.timeout(60):
        try:
            answer = await http.post(f"{WEB}:{port}/proxy/", data=endless())
            assert answer.status == 413
        except aiohttp.ClientConnectionError:
            pass  # it was still writing when the connection ended


async def test_a_body_that_waits_to_be_asked_for(world, serve):
    seen = []
    port = await serve(answering(OK, seen))
    reader, writer = await asyncio.open_unix_connection(str(world.socket))
    head = f"POST {WEB}:{port}/proxy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
    async with asyncio.timeout(60):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"data")
        assert b"200" in await reader.readline()
    assert seen[0][2] == b"data"
    writer.close()


async def test_the_kubelet_itself(world):
    node = "/api/v1/nodes/node-1"
    async with session(world) as http:
        for path, code, text in (
            (f"{node}/proxy/healthz", 200, b"ok"),
            (f"{node}:10250/proxy/healthz", 200, b"ok"),
            (f"{node}/proxy/logs/long?word=three", 200, b"one three"),
            (f"{node}/proxy/nothing", 404, b"no\n"),
        ):
            answer = await http.get(path)
            assert (answer.status, await answer.read()) == (code, text)
        assert (await http.post(f"{node}/proxy/healthz")).status == 405


KUBELET = "/api/v1/nodes/node-1/proxy"


async def test_the_kubelet_shows_logs(world, kubelet):
    logs = f"{KUBELET}/containerLogs/default/web"
    async with session(world) as http:
        answer = await http.get(f"{logs}/main?tailLines=3&timestamps=true")
        assert (answer.status, await answer.text()) == (200, "line 0\nline 1\nline 2\n")
        assert kubelet.asked[0].container == "main" and kubelet.asked[0].tail_lines == 3
        for path, code, text in (
            (f"{logs}/other", 404, 'container "other" not found in pod "web"\n'),
            (f"{KUBELET}/containerLogs/default/no/main", 404, 'pod "no" does not exist\n'),
            (f"{KUBELET}/containerLogs/other/web/main", 404, 'pod "web" does not exist\n'),
        ):
            answer = await http.get(path)
            assert (answer.status, await answer.text()) == (code, text)
        assert (await http.get(f"{logs}/main?previous=true")).status == 400
        assert (await http.get(f"{logs}/main?tailLines=-1")).status == 422
        assert (await http.post(f"{logs}/main")).status == 405


async def test_the_kubelet_runs_commands(world):
    run = f"{KUBELET}/run/default/web/main"
    async with session(world) as http:
        answer = await http.post(run, params={"cmd": "echo hello world"})
        assert (answer.status, await answer.text()) == (200, "hello world\n")
        answer = await http.post(run, params={"cmd": "false"})
        assert (answer.status, await answer.text()) == (500, "command 'false' exited with 1: \n")
        assert (await http.post(run)).status == 400
        assert (await http.get(run, params={"cmd": "echo"})).status == 405
        assert (await http.post(f"{run}2", params={"cmd": "echo"})).status == 404


async def test_another_port_of_a_node(world, serve, kubelet):
    port = await serve(answering(OK))
    async with session(world) as http:
        answer = await http.get(f"/api/v1/nodes/node-1:{port}/proxy/healthz")
        assert (answer.status, await answer.read()) == (200, b"hi")
    assert kubelet.dialled == [("172.30.0.2", port)]


async def test_errors_are_json_for_every_client(world):
    async with session(world) as http:
        answer = await http.get(f"{WEB}:1/proxy/", headers={"Accept": "text/html"})
        message = json.loads(await answer.read())["message"]
    assert "error trying to reach service: dial tcp 10.244.0.5:1" in message
    assert message.endswith("connect: connection refused")


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"plain", "text/plain; charset=utf-8"),
        (b" <HTML><p>", "text/html; charset=utf-8"),
        (b"\x00\x01", "application/octet-stream"),
        (b"", "text/plain; charset=utf-8"),
    ],
)
async def test_a_body_of_no_type(world, serve, body, media):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    port = await serve(answering(head + body))
    async with session(world) as http:
        answer = await http.get(f"{WEB}:{port}/proxy/")
        assert (answer.headers["Content-Type"], await answer.read()) == (media, body)


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        ("", "/"),
        ("/", "/"),
        ("/a%2fb", "/a/b"),
        ("/a//b/", "/a/b/"),
        ("/../../etc/passwd", "/etc/passwd"),
        ("/%3Fx%23", "/%3Fx%23"),
        ("/a:b@c;d=e,$&+", "/a:b@c;d=e,$&+"),
        ("/%ff%c3%bc", "/%FF%C3%BC"),
        ("/%0d%0aX:y", "/%0D%0AX:y"),
    ],
)
def test_paths_of_backends(rest, path):
    assert backend_path(rest) == path
