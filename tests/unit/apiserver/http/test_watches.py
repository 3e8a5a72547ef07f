"""Watches over HTTP: initial events, bookmarks, tables, ends."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from netemu.aio import FakeClock
from netemu.api.kinds import CONFIG_MAPS
from netemu.client.http import HttpClient
from netemu.errors import ApiError

PATH = "/api/v1/configmaps"


def config_map(name="a", **data):
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


@asynccontextmanager
async def watching(http: HttpClient, accept: str = "", **params: str):
    """An iterator over the lines of a watch."""
    response = await http.request("GET", PATH, params={"watch": "true"} | params, accept=accept)

    async def lines():
        rest = b""
        async for part in response.parts():
            *found, rest = (rest + part).split(b"\n")
            for line in found:
                yield json.loads(line)

    try:
        yield lines()
    finally:
        response.connection.close()


async def take(lines, count):
    return [await asyncio.wait_for(anext(lines), 60) for _ in range(count)]


async def test_without_a_revision_the_present_comes_first(http, client):
    await client.create(CONFIG_MAPS, config_map())
    async with watching(http) as lines:
        await client.create(CONFIG_MAPS, config_map("b"))
        found = await take(lines, 2)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in found] == [
        ("ADDED", "a"),
        ("ADDED", "b"),
    ]


async def test_watch_list_marks_the_end_of_the_initial_events(http, client):
    await client.create(CONFIG_MAPS, config_map())
    params = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    async with watching(http, **params) as lines:
        added, mark = await take(lines, 2)
    assert added["type"] == "ADDED" and mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark["object"]["metadata"]["resourceVersion"]) >= 2
    for missing in params:
        some = {key: value for key, value in params.items() if key != missing}
        if missing != "sendInitialEvents":
            with pytest.raises(ApiError) as caught:
                await http.request("GET", PATH, params={"watch": "true"} | some)
            assert caught.value.code == 422


async def test_tables_carry_their_headers_once(http, client):
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with watching(http, table, resourceVersion="1") as lines:
        await client.create(CONFIG_MAPS, config_map("a"))
        await client.create(CONFIG_MAPS, config_map("b"))
        first, second = await take(lines, 2)
    assert first["object"]["kind"] == "Table" and first["object"]["columnDefinitions"]
    assert not second["object"].get("columnDefinitions") and len(second["object"]["rows"]) == 1


async def test_rows_of_a_watch_grow_older(make_server):
    clock = FakeClock()
    server = await make_server(clock=clock)
    client, http = server.local_client(), HttpClient.unix(server.socket)
    async with watching(http, "application/json;as=Table;v=v1;g=meta.k8s.io") as lines:
        await client.create(CONFIG_MAPS, config_map("a"))
        (first,) = await take(lines, 1)
        await clock.advance(180)
        await client.patch(CONFIG_MAPS, "a", "default", {"data": {"k": "v"}})
        (second,) = await take(lines, 1)
    await http.close()
    ages = [each["object"]["rows"][0]["cells"][-1] for each in (first, second)]
    assert ages == ["0s", "3m"]


async def test_bookmarks_only_for_those_who_allow_them(http, client, server):
    revision = str(server.store.revision)
    async with watching(http, resourceVersion=revision) as lines:
        server.cache.bookmark_all()
        await client.create(CONFIG_MAPS, config_map())
        assert (await take(lines, 1))[0]["type"] == "ADDED"
    revision = str(server.store.revision)
    async with watching(http, resourceVersion=revision, allowWatchBookmarks="true") as lines:
        await client.create(CONFIG_MAPS, config_map("b"))
        assert (await take(lines, 1))[0]["type"] == "ADDED"
        await client.delete(CONFIG_MAPS, "b", "default")
        assert (await take(lines, 1))[0]["type"] == "DELETED"


async def test_it_ends_when_its_time_is_up(http):
    async with watching(http, resourceVersion="1", timeoutSeconds="1") as lines:
        assert [line async for line in lines] == []


async def test_an_expired_revision_is_said_before_the_stream(http, client, server):
    await client.create(CONFIG_MAPS, config_map())
    await server.store.compact(server.store.revision)
    server.cache.of(CONFIG_MAPS).floor = server.store.revision
    with pytest.raises(ApiError) as caught:
        await http.request("GET", PATH, params={"watch": "true", "resourceVersion": "2"})
    assert caught.value.code == 410


async def test_history_older_than_memory_comes_from_the_store(http, client, server):
    for i in range(5):
        await client.create(CONFIG_MAPS, config_map(f"n{i}"))
        await client.delete(CONFIG_MAPS, f"n{i}", "default")
    collection = server.cache.of(CONFIG_MAPS)
    while len(collection._changes) > 3:
        collection.floor = collection._changes.popleft().revision
    async with watching(http, resourceVersion="1") as lines:
        found = await take(lines, 10)
    assert [e["type"] for e in found] == ["ADDED", "DELETED"] * 5
    revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in found]
    assert revisions == sorted(set(revisions))


async def test_a_client_that_does_not_read_is_cut_off(http, client, server):
    response = await http.request("GET", PATH, params={"watch": "true", "resourceVersion": "1"})
    response.connection.writer.transport.pause_reading()
    dispatch = server.cache.of(CONFIG_MAPS).dispatch
    big = "x" * 20_000
    made = await client.create(CONFIG_MAPS, config_map("big", x=big))
    for i in range(6000):
        if not list(dispatch):
            break
        made = await client.update(CONFIG_MAPS, {**made, "data": {"x": big, "n": str(i)}})
        if i % 50 == 0:
            await asyncio.sleep(0)
    assert not list(dispatch) or all(watcher.stopped for watcher in dispatch)
    response.connection.writer.transport.resume_reading()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async for _ in response.parts():
            pass
    response.connection.close()
    assert len((await client.list(CONFIG_MAPS)).items) == 1
