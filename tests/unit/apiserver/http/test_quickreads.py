"""Reads that are answered before aiohttp sees them must look like those that it answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netemu.api.kinds import CONFIG_MAPS
from netemu.apiserver.http.quickanswers import QuickAnswers
from netemu.apiserver.server import ApiServer

SPACE = "/api/v1/namespaces/default/configmaps"


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, json.loads(body)

    async def ask(self, text: str) -> tuple[int, dict[str, str], Any]:
        self.writer.write(text.encode())
        return await self.answer()


def get(path: str, *fields: str, method: str = "GET") -> str:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *fields, "", ""])


def post(name: str) -> str:
    body = json.dumps({"metadata": {"name": name}})
    return get(SPACE, f"Content-Length: {len(body)}", method="POST") + body


@pytest.fixture
async def connection(quick: list[str], server: ApiServer) -> AsyncIterator[Connection]:
    made = Connection(*await asyncio.open_unix_connection(str(server.socket)))
    await made.ask(post("a"))
    yield made
    made.writer.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were answered at once."""
    seen: list[str] = []
    real = QuickAnswers.__call__

    def spy(self: QuickAnswers, path: str, *more: Any) -> bytes | None:
        found = real(self, path, *more)
        if found is not None:
            seen.append(path)
        return found

    monkeypatch.setattr(QuickAnswers, "__call__", spy)
    return seen


async def test_a_quick_answer_is_the_slow_one(quick, server: ApiServer) -> None:
    made = Connection(*await asyncio.open_unix_connection(str(server.socket)))
    await made.ask(post("a"))
    fast = await made.ask(get(f"{SPACE}/a"))
    slow = await made.ask(get(f"{SPACE}/a?pretty=false"))
    made.writer.close()
    assert quick == [f"{SPACE}/a"]
    assert fast[0] == slow[0] == 200 and fast[2] == slow[2]
    assert fast[1]["content-type"] == slow[1]["content-type"]
    assert "date" in fast[1]


async def test_errors_forms_and_conditions_are_left_to_aiohttp(connection, quick) -> None:
    table = "Accept: application/json;as=Table;g=meta.k8s.io;v=v1"
    assert (await connection.ask(get(f"{SPACE}/none")))[2]["reason"] == "NotFound"
    assert (await connection.ask(get(f"{SPACE}/a", table)))[2]["kind"] == "Table"
    assert (await connection.ask(get("/api/v1/namespaces/default/nodes/a")))[0] == 404
    assert (await connection.ask(get(f"{SPACE}/a", "Accept: text/html")))[0] == 406
    assert (await connection.ask(get(f"{SPACE}/a", "Impersonate-User: x")))[0] == 403
    assert (await connection.ask(get(f"{SPACE}/a", "Connection: close")))[0] == 200
    assert quick == []


async def test_bodies_in_pieces_do_not_confuse_what_follows(connection, quick) -> None:
    text = post("b")
    end = text.index("\r\n\r\n") + 4
    for piece in (text[:end], text[end:-5], text[-5:]):
        connection.writer.write(piece.encode())
        await connection.writer.drain()
        await asyncio.sleep(0.01)
    assert (await connection.answer())[0] == 201
    assert (await connection.ask(get(f"{SPACE}/b")))[2]["metadata"]["name"] == "b"
    assert quick == [f"{SPACE}/b"]


async def test_a_head_in_pieces_leaves_the_connection_to_aiohttp(connection, quick) -> None:
    for piece in (get(f"{SPACE}/a")[:40], get(f"{SPACE}/a")[40:]):
        connection.writer.write(piece.encode())
        await connection.writer.drain()
        await asyncio.sleep(0.01)
    assert (await connection.answer())[0] == 200
    assert (await connection.ask(get(f"{SPACE}/a")))[0] == 200
    assert quick == []


async def test_a_request_inside_a_body_is_not_answered(connection, quick) -> None:
    inside = get(f"{SPACE}/a")
    head = get(SPACE, f"Content-Length: {len(inside)}", method="POST")
    connection.writer.write(head.encode())
    await connection.writer.drain()
    await asyncio.sleep(0.01)
    assert (await connection.ask(inside))[0] == 400  # not JSON
    assert quick == []
    assert (await connection.ask(get(f"{SPACE}/a")))[0] == 200


async def test_pipelined_requests_are_answered_in_order(connection) -> None:
    text = get(f"{SPACE}/a") + get(f"{SPACE}/none") + get(f"{SPACE}/a")
    connection.writer.write(text.encode())
    assert [(await connection.answer())[0] for _ in range(3)] == [200, 404, 200]
    assert (await connection.ask(get(f"{SPACE}/a")))[0] == 200


async def test_it_shows_the_newest_state(connection, quick, client) -> None:
    await connection.ask(get(f"{SPACE}/a"))
    await client.patch(CONFIG_MAPS, "a", "default", {"data": {"new": "1"}})
    assert (await connection.ask(get(f"{SPACE}/a")))[2]["data"] == {"new": "1"}
    assert len(quick) == 2


async def test_a_kind_that_is_no_longer_served_is_not_read(connection, quick, server) -> None:
    kind = server.registry.find("", "v1", "configmaps")
    assert (await connection.ask(get(f"{SPACE}/a")))[0] == 200
    server.registry.remove(kind)
    assert (await connection.ask(get(f"{SPACE}/a")))[0] == 404
    server.registry.add(kind)
    assert (await connection.ask(get(f"{SPACE}/a")))[0] == 200
    assert len(quick) == 2


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/namespaces/default", "default"),
        ("/api/v1/namespaces/default/services/kubernetes", "kubernetes"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/view", "view"),
    ],
)
async def test_names_at_all_depths(connection, quick, path: str, name: str) -> None:
    assert (await connection.ask(get(path)))[2]["metadata"]["name"] == name
    assert quick == [path]


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/api/v1", "/api/v1/namespaces", "/api/v1/namespaces/", "/api/v1/pods"),
        *("/api/v1/namespaces/default/", "/api/v1/namespaces/default/status", SPACE, f"{SPACE}/"),
        *("/api/v1/watch/namespaces/none", f"{SPACE}/a/b", f"{SPACE}/%61", "/apis/events.k8s.io"),
        *("/api/v1/namespaces/default/clusterroles/view", "/api/v1/configmaps/a"),
    ],
)
async def test_paths_that_are_no_object_are_left_to_aiohttp(connection, quick, path: str) -> None:
    connection.writer.write(get(path).encode())
    await connection.reader.readuntil(b"\r\n\r\n")  # a watch has no end
    assert quick == []
