import asyncio
from contextlib import asynccontextmanager

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kinds import CONFIG_MAPS, PODS
from netemu.apiserver.server import ApiServer
from netemu.client.informer import Informer
from netemu.client.informers import Informers
from netemu.client.protocol import ApiClient


def config_map(name: str, **labels: str):
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}}


@asynccontextmanager
async def running(*components):
    async with asyncio.TaskGroup() as group:
        tasks = [spawn(group, component.run(), name="component") for component in components]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


class Until:
    """Wait for a condition on an informer, without sleeping."""

    def __init__(self, informer: Informer) -> None:
        self._moved = asyncio.Event()
        informer.on_progress(lambda revision: self._moved.set())

    async def __call__(self, condition) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._moved.clear()
                await self._moved.wait()


async def test_it_lists_and_follows_and_tells_each_change(client: ApiClient):
    await client.create(CONFIG_MAPS, config_map("old"))
    informer = Informer(client, CONFIG_MAPS)
    seen: list[tuple[bool, bool, str]] = []
    informer.on_change(lambda o, n: seen.append((o is None, n is None, meta.name(n or o))))
    until = Until(informer)
    async with running(informer):
        await informer.wait_synced()
        assert informer.get("default/old") is not None
        await client.create(CONFIG_MAPS, config_map("new"))
        await client.patch(CONFIG_MAPS, "old", "default", {"data": {"x": "1"}})
        await client.delete(CONFIG_MAPS, "new", "default")
        await until(lambda: len(seen) == 4)
    assert seen == [
        (True, False, "old"),
        (True, False, "new"),
        (False, False, "old"),
        (False, True, "new"),
    ]
    assert [meta.name(obj) for obj in informer.list("default")] == ["old"]


async def test_indexes_follow_the_objects(client: ApiClient):
    informer = Informer(
        client,
        CONFIG_MAPS,
        indexers={"app": lambda obj: filter(None, [meta.labels(obj).get("app")])},
    )
    until = Until(informer)
    async with running(informer):
        await client.create(CONFIG_MAPS, config_map("a", app="x"))
        await client.create(CONFIG_MAPS, config_map("b", app="x"))
        await until(lambda: len(informer.by_index("app", "x")) == 2)
        await client.patch(CONFIG_MAPS, "a", "default", {"metadata": {"labels": {"app": "y"}}})
        await until(lambda: informer.by_index("app", "y"))
        assert [meta.name(obj) for obj in informer.by_index("app", "x")] == ["b"]


async def test_after_an_expired_watch_the_difference_is_handed_out(
    server: ApiServer, client: ApiClient
):
    kept = await client.create(CONFIG_MAPS, config_map("kept"))
    await client.create(CONFIG_MAPS, config_map("gone"))
    informer = Informer(client, CONFIG_MAPS)
    until = Until(informer)
    async with running(informer):
        await informer.wait_synced()
    changes: list[tuple[str, bool]] = []
    informer.on_change(lambda old, new: changes.append((meta.name(new or old), new is None)))
    changes.clear()
    await client.delete(CONFIG_MAPS, "gone", "default")
    await client.create(CONFIG_MAPS, config_map("new"))
    await server.store.compact(server.store.revision)
    server.cache.of(CONFIG_MAPS).floor = server.store.revision
    async with running(informer):
        await until(lambda: informer.get("default/new") is not None)
    assert changes == [("gone", True), ("new", False)]
    assert informer.get("default/kept") == kept


async def test_barriers_move_the_revision_of_idle_informers(client: ApiClient):
    informer = Informer(client, PODS)
    until = Until(informer)
    async with running(informer):
        await informer.wait_synced()
        made = await client.create(CONFIG_MAPS, config_map("a"))
        while informer.revision < meta.revision(made):
            await client.barrier()
            await asyncio.sleep(0)
        await until(lambda: informer.revision >= meta.revision(made))


async def test_equal_questions_share_one_informer(server: ApiServer):
    client = server.local_client()
    informers = Informers(client)
    one = informers.of(PODS)
    assert informers.of(PODS, indexers={"all": lambda obj: ["x"]}) is one
    assert informers.of(PODS, labels="a=b") is not one
    async with running(informers):
        late = informers.of(CONFIG_MAPS)
        await asyncio.sleep(0)
        await asyncio.wait_for(late.wait_synced(), 60)
        await informers.wait_synced()
        assert informers.revision == server.store.revision
        await client.create(PODS, {**config_map("p"), "spec": {"containers": []}} | POD)
        until = Until(one)
        await until(lambda: len(one.by_index("all", "x")) == 1)


POD = {"spec": {"containers": [{"name": "c", "image": "nginx"}]}}


async def test_a_bookmark_is_told_after_all_that_came_before(client: ApiClient):
    informer = Informer(client, CONFIG_MAPS)
    told = []
    informer.on_change(lambda o, n: told.append(meta.name(n or o)))
    informer.on_bookmark(lambda: told.append("bookmark"))
    until = Until(informer)
    async with running(informer):
        await informer.wait_synced()
        await client.create(CONFIG_MAPS, config_map("one"))
        made = await client.create(PODS, {**config_map("x"), "spec": {"containers": [CONTAINER]}})
        await client.barrier()
        await until(lambda: informer.revision >= meta.revision(made))
    assert told == ["one", "bookmark"]


CONTAINER = {"name": "main", "image": "busybox"}
