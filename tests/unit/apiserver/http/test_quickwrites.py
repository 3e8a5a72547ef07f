"""Writes that are answered without aiohttp must look like those that it answers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netemu.aio import spawn
from netemu.api.kinds import CONFIG_MAPS
from netemu.apiserver.http.quickwrites import QuickWrites
from netemu.apiserver.server import ApiServer
from netemu.config.cluster import ClusterConfig
from netemu.store.memory import MemoryStore

SPACE = "/api/v1/namespaces/default/configmaps"
PATIENCE = 60


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, list[tuple[str, str]], Any]:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = [tuple(line.lower().split(": ", 1)) for line in head[1:] if line]
            body = await self.reader.readexactly(int(dict(fields)["content-length"]))
        return int(head[0].split()[1]), fields, json.loads(body)

    async def ask(self, method: str, path: str, document: Any = None, *fields: str) -> Any:
        self.writer.write(sent(method, path, document, *fields))
        return await self.answer()


def sent(method: str, path: str, document: Any = None, *fields: str) -> bytes:
    body = b"" if document is None else json.dumps(document).encode()
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "User-Agent: me/1", *length, *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def named(name: str, **more: Any) -> Any:
    return {"metadata": {"name": name}, **more}


async def connected(server: ApiServer) -> Connection:
    """A connection that has had its first request, which is always aiohttp's."""
    made = Connection(*await asyncio.open_unix_connection(str(server.socket)))
    await made.ask("GET", SPACE)
    return made


@pytest.fixture
async def connection(quick: list[str], server: ApiServer) -> AsyncIterator[Connection]:
    made = await connected(server)
    yield made
    made.writer.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that were answered without aiohttp."""
    seen: list[str] = []
    real = QuickWrites.__call__

    def spy(self: QuickWrites, data: bytes, transport: asyncio.Transport) -> Any:
        found = real(self, data, transport)
        if found is not None:
            seen.append(data.split(b" ")[0].decode())
        return found

    monkeypatch.setattr(QuickWrites, "__call__", spy)
    return seen


def without_what_differs(obj: Any) -> Any:
    metadata = dict(obj["metadata"])
    for field in ("name", "uid", "resourceVersion", "creationTimestamp"):
        assert metadata.pop(field)
    for entry in metadata["managedFields"]:
        assert entry.pop("time") and entry["manager"] == "me"
    return {**obj, "metadata": metadata}


def chunked(method: str, path: str, document: Any) -> bytes:
    """The same request in a way that is aiohttp's."""
    body = json.dumps(document).encode()
    head = sent(method, path, None, "Transfer-Encoding: chunked")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("query", ["", "?fieldValidation=Warn", "?fieldValidation=Strict"])
async def test_a_quick_answer_is_the_slow_one(connection, quick, query: str) -> None:
    more = {"data": {"a": "b"}, "unknown": 1, "odd\r\nname": 2}
    fast = await connection.ask("POST", f"{SPACE}{query}", named("a", **more))
    connection.writer.write(chunked("POST", f"{SPACE}{query}", named("b", **more)))
    slow = await connection.answer()
    assert quick == ["POST"]
    assert fast[0] == slow[0] == (400 if "Strict" in query else 201)
    ours = ("date", "server", "content-length")
    headers = [[field for field in answer[1] if field[0] not in ours] for answer in (fast, slow)]
    assert headers[0] == headers[1]
    assert any(field[0] == "warning" for field in headers[0]) == (fast[0] == 201)
    if fast[0] == 201:
        assert without_what_differs(fast[2]) == without_what_differs(slow[2])
    else:
        assert {**fast[2], "message": ""} == {**slow[2], "message": ""}


async def test_all_verbs_of_an_object(connection, quick) -> None:
    await connection.ask("POST", SPACE, named("a", data={"a": "1"}))
    put = await connection.ask("PUT", f"{SPACE}/a", named("a", data={"a": "2"}))
    merge = "Content-Type: application/merge-patch+json"
    patched = await connection.ask("PATCH", f"{SPACE}/a", {"data": {"b": "3"}}, merge)
    assert put[2]["data"] == {"a": "2"} and patched[2]["data"] == {"a": "2", "b": "3"}
    assert (await connection.ask("DELETE", f"{SPACE}/a"))[2]["status"] == "Success"
    assert (await connection.ask("DELETE", f"{SPACE}/a"))[0] == 404
    assert quick == ["POST", "PUT", "PATCH", "DELETE", "DELETE"]


async def test_errors_are_answered_too(connection, quick) -> None:
    assert (await connection.ask("POST", SPACE, named("a")))[0] == 201
    assert (await connection.ask("POST", SPACE, named("a")))[2]["reason"] == "AlreadyExists"
    assert (await connection.ask("POST", SPACE, [1]))[0] == 400
    assert (await connection.ask("POST", SPACE, named("a"), "Content-Type: image/png"))[0] == 415
    assert (await connection.ask("POST", SPACE, named("b"), "Impersonate-User: x"))[0] == 403
    assert (await connection.ask("POST", "/api/v1/namespaces/no/pods", named("a")))[0] == 404
    assert (await connection.ask("PATCH", "/api/v1/nothing/a", {}))[0] == 404
    assert quick == ["POST"] * 6 + ["PATCH"]


async def test_what_is_not_about_an_object_is_left_to_aiohttp(connection, quick) -> None:
    assert (await connection.ask("DELETE", f"{SPACE}?labelSelector=no"))[0] == 200
    for path in (f"{SPACE}/a/b", "/api/v1/namespaces/default/pods/a/exec", "/api/v1", "/apis"):
        assert (await connection.ask("POST", path, {}))[0] >= 400
    assert quick == []


async def test_a_defect_is_told_and_ends_nothing(connection, server, monkeypatch) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(server.store, "txn", broken)
        assert (await connection.ask("POST", SPACE, named("a")))[2]["reason"] == "InternalError"
    assert (await connection.ask("POST", SPACE, named("a")))[0] == 201


async def test_who_does_not_take_his_answer_is_cut_off(connection, server, monkeypatch) -> None:
    monkeypatch.setattr("netemu.apiserver.http.quickprotocol.SEND_SECONDS", 0)
    await server.local_client().create(
        CONFIG_MAPS,
        {"metadata": {"name": "big", "namespace": "default"}, "data": {"x": "y" * 1_000_000}},
    )
    made = Connection(*await asyncio.open_unix_connection(str(server.socket), limit=1024))
    made.writer.write(sent("POST", SPACE, named("a")))
    await made.reader.readuntil(b"\r\n\r\n")
    merge = "Content-Type: application/merge-patch+json"
    made.writer.write(sent("PATCH", f"{SPACE}/big", {"data": {"a": "1"}}, merge))
    received = 0
    async with asyncio.timeout(PATIENCE):
        assert (await connection.ask("POST", SPACE, named("b")))[0] == 201
        with contextlib.suppress(ConnectionError):
            while data := await made.reader.read(65536):
                received += len(data)
    assert received < 1_000_000
    made.writer.close()


class SlowStore(MemoryStore):
    """Its writes of objects named slow wait until they may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def txn(self, key: str, *more: Any) -> Any:
        if key.endswith("/slow"):
            self.begun.set()
            try:
                await self.may.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return await super().txn(key, *more)


async def test_what_comes_meanwhile_is_answered_afterwards(make_server, quick) -> None:
    store = SlowStore()
    server = await make_server(store=store)
    made = await connected(server)
    made.writer.write(sent("POST", SPACE, named("slow")))
    async with asyncio.timeout(PATIENCE):
        await store.begun.wait()
    made.writer.write(sent("POST", SPACE, named("b")))
    (await connected(server)).writer.close()  # by now the server has read what came before
    assert quick == ["POST"]
    store.may.set()
    assert [(await made.answer())[2]["metadata"]["name"] for _ in "ab"] == ["slow", "b"]
    assert (await made.ask("DELETE", f"{SPACE}/b"))[0] == 200
    assert quick == ["POST", "POST", "DELETE"]
    made.writer.close()


async def test_pipelined_requests_are_answered_in_order(connection) -> None:
    requests = [
        sent("POST", SPACE, named("a")),
        sent("GET", f"{SPACE}/a"),
        sent("GET", f"{SPACE}/b"),
    ]
    connection.writer.write(b"".join(requests))
    assert [(await connection.answer())[0] for _ in requests] == [201, 200, 404]
    for request in requests:
        connection.writer.write(request)
        await connection.writer.drain()
    assert [(await connection.answer())[0] for _ in requests] == [409, 200, 404]


async def test_a_client_that_goes_ends_its_request(make_server) -> None:
    store = SlowStore()
    made = await connected(await make_server(store=store))
    made.writer.write(sent("POST", SPACE, named("slow")))
    async with asyncio.timeout(PATIENCE):
        await store.begun.wait()
        made.writer.close()
        await store.cancelled.wait()


async def test_a_server_that_stops_does_not_wait_for_ever(tmp_path: Path) -> None:
    store = SlowStore()
    folder = tmp_path
    server = ApiServer(ClusterConfig(), store=store, socket=folder / "s", pki=folder / "pki")
    ready = asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running = spawn(group, server.run(ready=ready), name="server")
        await ready.wait()
        made = await connected(server)
        made.writer.write(sent("POST", SPACE, named("slow")))
        await store.begun.wait()
        running.cancel()
        await asyncio.wait((running,))
        assert store.cancelled.is_set()
        with contextlib.suppress(ConnectionError):
            assert await made.reader.read() == b""
        made.writer.close()
