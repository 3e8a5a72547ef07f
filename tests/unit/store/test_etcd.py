"""What only a shared etcd has: several API servers on one store."""

import asyncio

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kinds import CONFIG_MAPS
from netemu.apiserver.server import ApiServer
from netemu.client.informer import Informer
from netemu.config.cluster import ClusterConfig
from netemu.store.etcd import EtcdStore


async def test_two_servers_share_everything(etcd: str, tmp_path):
    async with asyncio.TaskGroup() as group:
        clients, tasks = [], []
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            server = ApiServer(
                ClusterConfig(), store=EtcdStore([etcd]), socket=folder / "s", pki=tmp_path / "pki"
            )
            ready = asyncio.Event()
            tasks.append(spawn(group, server.run(ready=ready), name=f"server-{number}"))
            await asyncio.wait_for(ready.wait(), 60)
            clients.append(server.local_client())
        one, two = clients
        informer = Informer(two, CONFIG_MAPS)
        moved = asyncio.Event()
        informer.on_progress(lambda revision: moved.set())
        tasks.append(spawn(group, informer.run(), name="informer"))
        made = [
            await one.create(
                CONFIG_MAPS, {"metadata": {"name": f"c{number}", "namespace": "default"}}
            )
            for number in range(20)
        ]
        async with asyncio.timeout(60):
            while informer.revision < meta.revision(made[-1]):
                moved.clear()
                await moved.wait()
        assert [informer.get(meta.key(obj)) for obj in made] == made
        await asyncio.gather(
            *(
                client.patch(CONFIG_MAPS, "c0", "default", {"data": {f"{at}-{number}": "x"}})
                for at, client in enumerate(clients)
                for number in range(10)
            )
        )
        # Each acknowledged write is seen by a read that starts after it, at whichever server.
        for client in clients:
            newest = await client.list(CONFIG_MAPS)
            assert len(next(o for o in newest.items if meta.name(o) == "c0")["data"]) == 20
        for number in range(50):
            fresh = {"metadata": {"name": f"fresh-{number}", "namespace": "default"}}
            await one.create(CONFIG_MAPS, fresh)
            assert await two.get(CONFIG_MAPS, f"fresh-{number}", "default")
        for task in tasks:
            task.cancel()
