"""Lists over HTTP: pages, revisions, forms."""

import asyncio
import json

import pytest

from netemu.api.kinds import CONFIG_MAPS
from netemu.client.connection import Address, Pool
from netemu.errors import ApiError

PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def ten(client):
    for i in range(10):
        meta = {"name": f"c{i}", "namespace": "default", "labels": {"odd": str(i % 2)}}
        await client.create(CONFIG_MAPS, {"metadata": meta})


def names(listed):
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_pages_show_one_revision(http, client, ten):
    first = await http.json("GET", PATH, params={"limit": "4"})
    assert names(first) == ["c0", "c1", "c2", "c3"]
    assert first["metadata"]["remainingItemCount"] == 6
    await client.delete(CONFIG_MAPS, "c5", "default")
    await client.create(CONFIG_MAPS, {"metadata": {"name": "c55", "namespace": "default"}})
    more, token = [], first["metadata"]["continue"]
    while token:
        page = await http.json("GET", PATH, params={"limit": "4", "continue": token})
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        more += names(page)
        token = page["metadata"].get("continue")
    assert more == [f"c{i}" for i in range(4, 10)]


async def test_an_expired_page_says_how_to_go_on(http, client, server, ten):
    first = await http.json("GET", PATH, params={"limit": "4"})
    await client.delete(CONFIG_MAPS, "c5", "default")
    await server.store.compact(server.store.revision)
    token = first["metadata"]["continue"]
    pool = Pool(Address(path=str(server.socket)))
    response = await pool.request("GET", f"{PATH}?limit=4&continue={token}", {})
    status = json.loads(await response.read())
    pool.release(response)
    await pool.close()
    assert (response.status, status["reason"]) == (410, "Expired")
    rest = await http.json("GET", PATH, params={"continue": status["metadata"]["continue"]})
    assert names(rest) == ["c4", "c6", "c7", "c8", "c9"]


async def test_exactly_an_old_revision(http, client, ten):
    before = (await client.list(CONFIG_MAPS)).revision
    await client.delete(CONFIG_MAPS, "c0", "default")
    params = {"resourceVersion": str(before), "resourceVersionMatch": "Exact"}
    assert len(names(await http.json("GET", PATH, params=params))) == 10
    assert len(names(await http.json("GET", PATH))) == 9


async def test_a_revision_to_come_is_refused_after_a_while(http, server, monkeypatch):
    monkeypatch.setattr(server.cache, "reach", lambda revision: _reach(server, revision))
    with pytest.raises(ApiError) as caught:
        await http.json("GET", PATH, params={"resourceVersion": "9999999"})
    assert caught.value.code == 504 and "Too large resource version" in caught.value.message


async def _reach(server, revision):
    await type(server.cache).reach(server.cache, revision, 0.01)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"resourceVersion": "x"}, 400),
        ({"continue": "???"}, 400),
        ({"labelSelector": "a in b"}, 400),
        ({"fieldSelector": "nonsense=1"}, 400),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersion": "1", "resourceVersionMatch": "Roughly"}, 422),
        ({"limit": "many"}, 400),
    ],
)
async def test_questions_that_make_no_sense(http, params, code):
    with pytest.raises(ApiError) as caught:
        await http.json("GET", PATH, params=params)
    assert caught.value.code == code


async def test_selectors_and_pages_together(http, ten):
    page = await http.json("GET", PATH, params={"labelSelector": "odd=1", "limit": "2"})
    assert names(page) == ["c1", "c3"] and "remainingItemCount" not in page["metadata"]
    params = {"labelSelector": "odd=1", "continue": page["metadata"]["continue"]}
    assert names(await http.json("GET", PATH, params=params)) == ["c5", "c7", "c9"]


async def get(http, path, accept, **params):
    response = await http.request("GET", path, params=params, accept=accept)
    data = await response.read()
    http.finish(response)
    return json.loads(data)


async def test_tables_and_partial_metadata(http, ten):
    table = await get(http, PATH, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert table["kind"] == "Table" and len(table["rows"]) == 10
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    wanted = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    partial = await get(http, PATH, wanted)
    assert partial["kind"] == "PartialObjectMetadataList"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}
    with pytest.raises(ApiError) as caught:
        await get(http, PATH, "application/json;as=Picture;v=v1;g=meta.k8s.io")
    assert caught.value.code == 406


async def test_many_readers_while_somebody_writes(http, client, ten):
    async def read():
        for _ in range(10):
            assert len(names(await http.json("GET", PATH))) >= 10

    async def write():
        for i in range(20):
            await client.create(
                CONFIG_MAPS, {"metadata": {"name": f"w{i}", "namespace": "default"}}
            )

    await asyncio.gather(read(), read(), write())
