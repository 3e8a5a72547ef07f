"""The API server is killed under load and comes back: no write and no event is lost."""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kinds import CONFIG_MAPS
from netemu.client.http import HttpClient
from netemu.errors import ApiError

KILLS = int(os.environ.get("NETEMU_KILLS", "12")) // 4
SEED = int(os.environ.get("NETEMU_SEED", "0")) * 10_000

_SERVE = """
import asyncio, sys
from pathlib import Path
from netemu.apiserver.server import ApiServer
from netemu.config.cluster import ClusterConfig
from netemu.store.sqlite import SqliteStore

async def main(folder):
    server = ApiServer(
        ClusterConfig(), store=SqliteStore(folder / "s.db"), socket=folder / "s", pki=folder / "pki"
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run(ready=ready))
        await ready.wait()
        print("ready", flush=True)
        await task

asyncio.run(main(Path(sys.argv[1])))
"""


class Load:
    """Writers that remember what was acknowledged, and one watcher that always comes back."""

    def __init__(self, path: Path) -> None:
        self.client = HttpClient.unix(path)
        self.acknowledged: dict[str, int] = {}
        self.written: dict[int, tuple[str, str]] = {}
        self.seen: dict[int, tuple[str, str]] = {}
        self.revision = 1
        self.up = asyncio.Event()
        self._moved = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    async def write(self, worker: int) -> None:
        count = 0
        while True:
            await self.up.wait()
            count += 1
            name = f"w{worker}-{count}"
            made = {"metadata": {"name": name, "namespace": "default"}, "data": {"n": str(count)}}
            try:
                done = await self.client.create(CONFIG_MAPS, made)
            except (OSError, EOFError, ApiError):
                await asyncio.sleep(0.01)
                continue
            self.written[meta.revision(done)] = ("ADDED", name)
            self._moved.set()

    async def watch(self) -> None:
        while True:
            await self.up.wait()
            try:
                events = self.client.watch(CONFIG_MAPS, revision=self.revision)
                async for event in events:
                    if event.type != "BOOKMARK":
                        assert event.revision > self.revision, "an event came twice"
                        self.seen[event.revision] = (event.type, meta.name(event.object))
                    self.revision = max(self.revision, event.revision)
                    self._moved.set()
            except (OSError, EOFError):
                await asyncio.sleep(0.01)


async def test_nothing_is_lost(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    load = Load(folder / "s")
    async with asyncio.TaskGroup() as group:
        tasks = [spawn(group, load.write(worker), name="writer") for worker in range(4)]
        tasks.append(spawn(group, load.watch(), name="watcher"))
        for life in range(KILLS + 1):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _SERVE, str(folder), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            load.up.set()
            enough = len(load.written) + 20
            await load.until(lambda enough=enough: len(load.written) >= enough)
            await asyncio.sleep(random.Random(SEED + life).uniform(0, 0.2))
            if life < KILLS:
                load.up.clear()
                process.kill()
                await process.wait()
        load.up.clear()
        await asyncio.sleep(0.2)
        listed = await load.client.list(CONFIG_MAPS)
        await load.until(lambda: load.revision >= max(load.written))
        for task in tasks:
            task.cancel()
    there = {meta.revision(obj): ("ADDED", meta.name(obj)) for obj in listed.items}
    assert load.written.items() <= there.items(), "acknowledged, and gone"
    assert load.written.items() <= load.seen.items(), "acknowledged, and never seen by the watcher"
    await load.client.close()
    process.kill()
    await process.wait()
