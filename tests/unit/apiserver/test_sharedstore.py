"""Two API servers over one etcd: each has what the other wrote, no number is given out twice."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from netemu.api.kinds import CONFIG_MAPS, SERVICES
from netemu.apiserver.server import ApiServer
from netemu.config.cluster import ClusterConfig, EtcdConfig
from netemu.errors import ApiError
from netemu.store.etcd import EtcdStore


@pytest.fixture
async def pair(make_server, etcd: str, tmp_path: Path) -> tuple[ApiServer, ApiServer]:
    config = ClusterConfig(
        service_subnets=("10.96.0.0/26",),
        node_port_range=(30000, 30039),
        etcd=EtcdConfig(servers=(etcd,)),
    )
    made = [
        await make_server(config, store=EtcdStore([etcd]), socket=tmp_path / f"{i}.sock")
        for i in range(2)
    ]
    return made[0], made[1]


def service(name: str, port: int = 0) -> dict:
    wanted = {"port": 80} | ({"nodePort": port} if port else {})
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "NodePort", "ports": [wanted]},
    }


async def test_each_sees_what_the_other_wrote(pair) -> None:
    one, two = (server.local_client() for server in pair)
    made = await one.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
    await pair[1].cache.reach(int(made["metadata"]["resourceVersion"]))
    assert (await two.get(CONFIG_MAPS, "a", "default"))["metadata"]["uid"] == made["metadata"][
        "uid"
    ]
    await two.delete(CONFIG_MAPS, "a", "default")


async def test_no_address_and_no_port_is_given_out_twice(pair) -> None:
    clients = [server.local_client() for server in pair]
    made = await asyncio.gather(
        *(clients[i % 2].create(SERVICES, service(f"s{i}")) for i in range(36))
    )
    ports = Counter(s["spec"]["ports"][0]["nodePort"] for s in made)
    addresses = Counter(s["spec"]["clusterIP"] for s in made)
    assert max(ports.values()) == max(addresses.values()) == 1


async def test_of_two_who_ask_for_one_port_one_gets_it(pair) -> None:
    clients = [server.local_client() for server in pair]
    for port in range(30000, 30005):
        done = await asyncio.gather(
            *(c.create(SERVICES, service(f"s{port}-{i}", port)) for i, c in enumerate(clients)),
            return_exceptions=True,
        )
        refused = [error for error in done if isinstance(error, ApiError)]
        assert len(refused) == 1
        assert "provided port is already allocated" in str(refused[0])


async def test_a_port_is_free_again_at_once_after_its_service(pair) -> None:
    one, two = (server.local_client() for server in pair)
    await one.create(SERVICES, service("a", 30001))
    gone = await one.delete(SERVICES, "a", "default")
    assert gone["metadata"]["name"] == "a"
    await pair[1].cache.reach(pair[0].cache.revision)
    made = await two.create(SERVICES, service("b", 30001))
    assert made["spec"]["ports"][0]["nodePort"] == 30001
