"""Stand-ins: sockets inside pods' namespaces, served by one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netemu.node.kubelet.selfsigned import self_signed
from netemu.node.supervisor.client import Event, SupervisorClient, boot_command

pytestmark = pytest.mark.netns

IDENTITY = {
    "pod": "web-0",
    "namespace": "default",
    "node": "node-1",
    "ip": "10.244.0.2",
    "container": "nginx",
    "image": "nginx:1.7.9",
}


class StandIns:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.client = SupervisorClient(directory / "standins.sock", self.events.put_nowait)

    async def start(self, identifier: str, *ports: tuple[int, str], **more: Any) -> Event:
        net = os.open("/proc/self/ns/net", os.O_RDONLY)
        entries = [{"port": port, "protocol": protocol} for port, protocol in ports]
        log = str(self.directory / f"{identifier}.log")
        spec = {"id": identifier, "pod": "u1", "name": "nginx", "ports": entries, "log": log}
        spec |= {"identity": IDENTITY, **more}
        answer = await self.client.request("start", containers=[spec], fds=[net])
        os.close(net)
        return answer["containers"][0]


@pytest.fixture
async def standins(tmp_path: Path) -> AsyncIterator[StandIns]:
    process = await asyncio.create_subprocess_exec(*boot_command("standins", str(tmp_path)))
    node = StandIns(tmp_path)
    async with asyncio.timeout(60):
        while not (tmp_path / "standins.sock").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await node.client.connect()
    yield node
    await node.client.close()
    process.terminate()
    await process.wait()
    assert (tmp_path / "standins.log").read_text() == ""


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_http_says_which_pod_answers(standins: StandIns) -> None:
    state = await standins.start("c1", (18080, "TCP"))
    assert state["state"] == "running"
    answer = await _ask(18080, b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, body = answer.decode().partition("\r\n\r\n")
    facts = dict(line.split(": ", 1) for line in body.splitlines())
    assert head.startswith("HTTP/1.1 200 OK")
    assert (facts["pod"], facts["node"], facts["path"]) == ("web-0", "node-1", "/x")
    assert facts["client"].startswith("127.0.0.1:")
    log = (standins.directory / "c1.log").read_text()
    assert '"GET /x HTTP/1.1" 200' in log


async def test_json_and_keep_alive(standins: StandIns) -> None:
    await standins.start("c1", (18080, "TCP"))
    request = b"GET / HTTP/1.1\r\nAccept: application/json\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    answer = await _ask(18080, request + last)
    bodies = [part.split(b"\r\n\r\n")[1] for part in answer.split(b"HTTP/1.1 200")[1:]]
    assert [json.loads(body)["pod"] for body in bodies] == ["web-0", "web-0"]


async def test_datagrams_come_back(standins: StandIns) -> None:
    await standins.start("c1", (18081, "UDP"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.sendto(b"hello", ("127.0.0.1", 18081))
        assert (await asyncio.to_thread(sock.recvfrom, 100))[0] == b"hello"


async def test_a_port_in_use_ends_the_container_with_a_log_line(standins: StandIns) -> None:
    await standins.start("c1", (18080, "TCP"))
    state = await standins.start("c2", (18080, "TCP"))
    assert (state["state"], state["code"]) == ("exited", 1)
    assert "bind() to 0.0.0.0:18080 failed" in (standins.directory / "c2.log").read_text()


async def test_stopping_refuses_new_connections_and_finishes_old_ones(standins: StandIns) -> None:
    await standins.start("c1", (18080, "TCP"))
    reader, writer = await asyncio.open_connection("127.0.0.1", 18080)
    writer.write(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na")
    await writer.drain()
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", 18080)
    await _ask(18080, b"GET / HTTP/1.0\r\n\r\n")  # the two above have been accepted by now
    await standins.client.request("stop", ids=["c1"], grace=10)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", 18080)
    assert await idle.read() == b""
    writer.write(b"bc")
    assert b"Connection: close" in await reader.read()
    async with asyncio.timeout(60):
        event = await standins.events.get()
    assert (event["event"], event["container"]["code"]) == ("exited", 0)
    for each in (writer, idle_writer):
        each.close()
        await each.wait_closed()


async def test_agnhost_netexec_paths(standins: StandIns) -> None:
    await standins.start("c1", (18080, "TCP"), program="netexec")
    url = "http://127.0.0.1:18080"
    command = ["curl", "-s", f"{url}/hostname", f"{url}/echo?msg=a%20b", f"{url}/clientip"]
    output = (await asyncio.to_thread(subprocess.check_output, command)).decode()
    assert output.startswith("web-0a b127.0.0.1:")


@pytest.mark.parametrize("size", [5, 1_000_000])
async def test_agnhost_porter_with_tls(standins: StandIns, size: int) -> None:
    answers = {"SERVE_TLS_PORT_18443": "x" * size, "SERVE_PORT_18080": "plain"}
    more = {"program": "porter", "identity": {**IDENTITY, "env": answers}, "tls": self_signed()}
    ports = [{"port": 18443, "protocol": "TCP", "tls": True}, {"port": 18080, "protocol": "TCP"}]
    await standins.start("a", ports=ports, **more)
    context = ssl.create_default_context(cadata=self_signed())
    reader, writer = await asyncio.open_connection("localhost", 18443, ssl=context)
    async with asyncio.timeout(60):
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200") and b"%d" % size in head
            assert await reader.readexactly(size) == b"x" * size
    writer.close()
    assert (await _ask(18080, b"GET / HTTP/1.0\r\n\r\n")).endswith(b"plain")
    # Who speaks no TLS there gets nothing, and others are served on.
    with contextlib.suppress(ConnectionError):
        assert b"HTTP" not in await _ask(18443, b"GET / HTTP/1.0\r\n\r\n")
    assert (await _ask(18080, b"GET / HTTP/1.0\r\n\r\n")).endswith(b"plain")


async def test_agnhost_netexec_is_silent_to_what_it_does_not_know(standins: StandIns) -> None:
    """nc -v probes with an X, and would end at an empty datagram."""
    await standins.start("c1", (18081, "UDP"), program="netexec")

    def first_answer() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            for data in (b"X", b"hostname\n"):
                client.sendto(data, ("127.0.0.1", 18081))
            return client.recv(100)

    assert await asyncio.to_thread(first_answer) == b"web-0"


async def _dial(to: str) -> tuple[str, Any]:
    query = f"GET /dial?{to} HTTP/1.1\r\nConnection: close\r\n\r\n"
    head, _, body = (await _ask(18080, query.encode())).decode().partition("\r\n\r\n")
    status = head.split(" ")[1]
    return status, json.loads(body) if status == "200" else body


async def test_agnhost_netexec_asks_others(standins: StandIns) -> None:
    """/dial, by which upstream's suite lets one pod ask another: here one of the same process."""
    await standins.start("c1", (18080, "TCP"), program="netexec")
    await standins.start("c2", (18082, "TCP"), (18083, "UDP"), program="netexec")
    to = "request=hostname&host=127.0.0.1"
    assert await _dial(f"{to}&protocol=http&port=18082&tries=2") == (
        "200",
        {"responses": ["web-0", "web-0"]},
    )
    assert await _dial(f"{to}&protocol=udp&port=18083") == ("200", {"responses": ["web-0"]})
    assert (await _dial("request=clientip&host=127.0.0.1&port=18082"))[1]["responses"][
        0
    ].startswith("127.0.0.1:")
    status, found = await _dial(f"{to}&port=18084")
    assert status == "200" and "connection refused" in found["errors"][0]
    for wrong in ("host=localhost&port=18082", "host=127.0.0.1&port=x", "port=18082&tries=x"):
        assert (await _dial(f"request=hostname&{wrong}"))[0] == "400"
    log = (standins.directory / "c1.log").read_text()
    assert log.count('"GET /dial?') == 7
