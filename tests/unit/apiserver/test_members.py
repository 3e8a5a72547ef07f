"""Several API servers over one etcd: one cluster, with one identity and a list of who is there."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kinds import CONFIG_MAPS, ENDPOINT_SLICES, ENDPOINTS, SERVICE_ACCOUNTS
from netemu.apiserver.members import Member, Members, check, read_members
from netemu.apiserver.server import ApiServer
from netemu.client.informer import Informer
from netemu.config.cluster import ClusterConfig
from netemu.errors import ApiError, MembershipError
from netemu.store.etcd import EtcdStore
from netemu.store.protocol import StoreError

Serve = Callable[..., Coroutine[None, None, ApiServer]]


@pytest.fixture
def serve(make_server, tmp_path_factory) -> Serve:
    """Starts a server on an etcd, with sockets and keys in a directory of its own."""

    async def start(url: str, **more) -> ApiServer:
        folder = tmp_path_factory.mktemp("s")
        store = EtcdStore([url], **more)
        return await make_server(
            ClusterConfig(), store=store, socket=folder / "s", pki=folder / "pki"
        )

    return start


def member(name: str, address: str = "", **more) -> Member:
    return Member(id=name, name=name, host="host", address=address, port=6443, **more)


async def until(moved: asyncio.Event, condition: Callable[[], Coroutine[None, None, bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await moved.wait()
            moved.clear()


async def test_tokens_and_certificates_of_one_are_good_at_the_other(serve: Serve, etcd: str):
    one, two = await serve(etcd), await serve(etcd)
    assert one.pki.ca_pem == two.pki.ca_pem
    account = {"metadata": {"name": "robot", "namespace": "default"}}
    await one.local_client().create(SERVICE_ACCOUNTS, account)
    token = one.token("default", "robot")["status"]["token"]
    await two.cache.catch_up()
    assert two.authenticator.bearer(token).name == "system:serviceaccount:default:robot"
    certificate, _ = one.pki.client("kubernetes-admin")
    from cryptography import x509

    authority = x509.load_pem_x509_certificate(two.pki.ca_pem)
    x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(authority)


async def test_keys_stay_when_all_servers_are_new(serve: Serve, etcd: str, make_server):
    first = await serve(etcd)
    token, ca = first.signer.key_set(), first.pki.ca_pem
    later = await serve(etcd)
    assert (later.signer.key_set(), later.pki.ca_pem) == (token, ca)
    for name in ("ca.key", "sa.key"):
        file = Path(later.pki.directory) / name
        assert file.stat().st_mode & 0o777 == 0o600


async def test_keys_are_not_to_be_had_through_the_api(serve: Serve, etcd: str):
    server = await serve(etcd)
    stored = [row.key for row in (await server.store.range("/registry/netemu/")).rows]
    assert stored == ["/registry/netemu/keys"]
    for kind in server.registry.kinds():
        for entry in server.cache.of(kind).entries():
            assert "ca.key" not in str(entry.object), meta.key(entry.object)


async def test_another_prefix_is_another_cluster(serve: Serve, etcd: str):
    one, two = await serve(etcd), await serve(etcd, prefix="/clusters/b")
    assert one.pki.ca_pem != two.pki.ca_pem
    clients = [server.local_client() for server in (one, two)]
    for at, client in enumerate(clients):
        made = {"metadata": {"name": "a", "namespace": "default"}, "data": {"at": str(at)}}
        await client.create(CONFIG_MAPS, made)
    for at, client in enumerate(clients):
        assert (await client.get(CONFIG_MAPS, "a", "default"))["data"] == {"at": str(at)}
        assert len((await client.list(CONFIG_MAPS, "default")).items) == 1


async def test_an_etcd_of_a_real_cluster_is_left_alone(serve: Serve, etcd: str):
    store = EtcdStore([etcd])
    async with asyncio.TaskGroup() as group:
        running = spawn(group, store.run(), name="store")
        await store.open()
        await store.txn("/registry/namespaces/default", 0, b"k8s\0\x0a\x0f")
        running.cancel()
    await store.close()
    server = ApiServer(ClusterConfig(), store=EtcdStore([etcd]), pki=Path("/nowhere"))
    try:
        with pytest.raises(StoreError, match="holds another Kubernetes cluster") as caught:
            await server.open()
        assert "--etcd-prefix" in caught.value.hint
    finally:
        await server.store.close()


async def addresses(server: ApiServer) -> tuple[list[str], list[str]]:
    """The API servers' addresses: of the Endpoints, and of the EndpointSlice."""
    client = server.local_client()
    try:
        endpoints = await client.get(ENDPOINTS, "kubernetes", "default")
        piece = await client.get(ENDPOINT_SLICES, "kubernetes", "default")
    except ApiError:
        return [], []
    return (
        [each["ip"] for subset in endpoints["subsets"] for each in subset["addresses"]],
        [endpoint["addresses"][0] for endpoint in piece["endpoints"]],
    )


async def test_the_kubernetes_service_leads_to_all_who_live(serve: Serve, etcd: str, monkeypatch):
    monkeypatch.setattr("netemu.apiserver.members.LEASE_SECONDS", 2)
    servers = [await serve(etcd), await serve(etcd)]
    found = [f"192.0.2.{i}" for i in (1, 2)]
    moved = asyncio.Event()
    for server in servers:
        server.cache.on_change(lambda kind, change: moved.set())
    async with asyncio.TaskGroup() as group:
        running = []
        for server, name, address in zip(servers, "ab", found, strict=True):
            mine = server.members(member(name, address))
            await mine.join()
            running.append(spawn(group, mine.run(server.set_members), name=name))

        async def lists(wanted: list[str]) -> bool:
            return all([await addresses(server) == (wanted, wanted) for server in servers])

        await until(moved, lambda: lists(found))
        before = await servers[0].store.newest()
        await servers[0].set_members(await read_members(servers[0].store))
        assert await servers[0].store.newest() == before, "nothing new is nothing written"
        running[1].cancel()  # as if killed: nobody renews the record, etcd lets it go
        await until(moved, lambda: lists(found[:1]))
        assert [m.id for m in await read_members(servers[1].store)] == ["a"]
        running[0].cancel()


async def test_who_does_not_fit_is_refused_and_leaves_no_record(serve: Serve, etcd: str):
    server = await serve(etcd)
    alike = {"networking.podSubnet": "10.244.0.0/16"}
    one = member("a", nodes=("n1", "n2"), node_subnet="172.30.0.0/24", settings=alike)
    await server.members(one).join()
    for wrong, why in (
        ({"nodes": ("n2",)}, 'node n2 belongs to "a" on host'),
        ({"node_subnet": "172.30.0.128/25"}, "172.30.0.128/25 overlaps 172.30.0.0/24"),
        (
            {"settings": {"networking.podSubnet": "10.5.0.0/16"}},
            'networking.podSubnet is 10.5.0.0/16 here, and 10.244.0.0/16 at "a" on host',
        ),
    ):
        with pytest.raises(MembershipError, match=why) as caught:
            await server.members(member("b", **wrong)).join()
        assert "--etcd-prefix" in caught.value.hint
        assert [m.id for m in await read_members(server.store)] == ["a"]
    good = Members(
        server.store, member("b", nodes=("n3",), node_subnet="172.30.1.0/24", settings=alike)
    )
    await good.join()
    with pytest.raises(MembershipError, match="n1"):
        await good.set_nodes(["n3", "n1"])
    await good.set_nodes(["n3", "n4"])
    assert [m.nodes for m in await read_members(server.store)] == [("n1", "n2"), ("n3", "n4")]
    check(one, await read_members(server.store))  # a member fits itself


async def test_a_compacted_gap_is_bridged_by_reading_anew(serve: Serve, make_etcd, wire):
    etcd = make_etcd()
    cable = wire(etcd.port)
    await cable.join()
    far, near = await serve(cable.url), await serve(etcd.url)
    client = near.local_client()
    for name in ("stays", "changes", "goes"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}})
    await far.cache.catch_up()
    informer, moved = (
        Informer(far.local_client(), CONFIG_MAPS, namespace="default"),
        asyncio.Event(),
    )
    informer.on_change(lambda old, new: moved.set())
    async with asyncio.TaskGroup() as group:
        following = spawn(group, informer.run(), name="informer")
        await informer.wait_synced()
        await cable.cut()
        await client.patch(CONFIG_MAPS, "changes", "default", {"data": {"a": "b"}})
        await client.delete(CONFIG_MAPS, "goes", "default")
        made = {"metadata": {"name": "comes", "namespace": "default"}}
        at = meta.revision(await client.create(CONFIG_MAPS, made))
        await near.store.compact(at)
        await cable.join()

        async def caught_up() -> bool:
            return set(informer.objects) == {f"default/{n}" for n in ("stays", "changes", "comes")}

        await until(moved, caught_up)
        changed = informer.get("default/changes")
        assert changed is not None and changed["data"] == {"a": "b"}
        listed = await far.local_client().list(CONFIG_MAPS, "default")
        assert {meta.name(obj) for obj in listed.items} == {"stays", "changes", "comes"}
        following.cancel()
