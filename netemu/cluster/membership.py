"""This machine's part in a cluster whose etcd others use as well: fit in, and leave.

Leaving takes with it what only this machine can keep alive: its Node objects, their Leases and
pods. All else belongs to the cluster and stays in etcd, which is not ours to empty; only `purge`
does that, for the last member, and only where netemu made the keys.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from netemu.aio import spawn
from netemu.api.kind import Object
from netemu.apiserver.auth.sharedkeys import KEY
from netemu.apiserver.members import PREFIX, Member, check, read_members
from netemu.apiserver.server import etcd_store
from netemu.config import ClusterConfig
from netemu.errors import MembershipError, NetemuError
from netemu.store.etcd import EtcdStore
from netemu.store.protocol import StoreError

LEADER_LEASE = "kube-controller-manager"
_LEADER_KEY = f"/registry/leases/kube-system/{LEADER_LEASE}"
_ID_FILE = "member"
_SECONDS = 30.0

Work = Callable[[EtcdStore], Awaitable[None]]


def member_of(config: ClusterConfig) -> Member:
    """Who we are; the id is random, kept with the data, and the same after a restart."""
    file = config.data_dir / _ID_FILE
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(secrets.token_hex(8))
    return _member(config, file.read_text())


def _known_member(config: ClusterConfig) -> Member:
    """The same, without making anything: an id of no length when there is none yet."""
    with suppress(FileNotFoundError):
        return _member(config, (config.data_dir / _ID_FILE).read_text())
    return _member(config, "")


def _member(config: ClusterConfig, drawn: str) -> Member:
    host = socket.gethostname()
    low, high = config.node_port_range
    settings = {
        "networking.podSubnet": ",".join(config.pod_subnets),
        "networking.serviceSubnet": ",".join(config.service_subnets),
        "networking.nodeCIDRMaskSize": f"{config.node_cidr_mask}",
        "networking.nodeCIDRMaskSizeIPv6": f"{config.node_cidr_mask_v6}",
        "networking.dnsDomain": config.cluster_domain,
        "networking.nodePortRange": f"{low}-{high}",
        "networking.loadBalancerPool": config.load_balancer_pool,
        "networking.overlayBackend": config.overlay_backend,
        "networking.vni": f"{config.vni}",
        "networking.vxlanPort": f"{config.vxlan_port}",
    }
    return Member(
        id=f"{host}_{config.name}_{drawn}" if drawn else "",
        name=config.name,
        host=host,
        node_subnet=config.node_subnet,
        nodes=tuple(node.name for node in config.nodes),
        settings=settings,
    )


def require_fit(config: ClusterConfig) -> None:
    """Before anything is made: etcd answers, and no living member has our nodes or ranges."""
    if not config.etcd.servers:
        return

    async def look(store: EtcdStore) -> None:
        check(_known_member(config), await read_members(store))

    asyncio.run(_with_store(config, look))


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What leaving removed from etcd, and how many keys stay there."""

    nodes: int = 0
    pods: int = 0
    stay: int = 0
    members: tuple[str, ...] = ()
    purged: bool = False

    def __str__(self) -> str:
        if self.purged:
            return f"removed all {self.stay} keys from etcd"
        removed = f"removed {self.nodes} Nodes and {self.pods} pods from etcd; "
        if self.members:
            return removed + f"the cluster goes on at {', '.join(self.members)}"
        return removed + f"{self.stay} keys stay there for the next up (down --purge removes them)"


def require_alone(config: ClusterConfig) -> None:
    """MembershipError when others live off the objects that `purge` would remove."""

    async def look(store: EtcdStore) -> None:
        others = _others(config, await read_members(store))
        if others:
            raise MembershipError(
                [f"the objects in etcd are also those of {', '.join(map(str, others))}"],
                hint=f"netemu down --name {config.name}, without --purge",
            )

    if config.etcd.servers:
        asyncio.run(_with_store(config, look))


def leave(config: ClusterConfig, *, keep_data: bool, purge: bool) -> str:
    """Leave the cluster in etcd, after the daemon has ended; what was done, as a line of text."""
    found: list[Left] = []

    async def work(store: EtcdStore) -> None:
        found.append(await _leave(store, config, keep_data=keep_data, purge=purge))

    try:
        asyncio.run(_with_store(config, work))
    except NetemuError as error:
        names = ", ".join(node.name for node in config.nodes)
        return f"etcd still has the Nodes {names}: {error}"
    return str(found[0])


async def _with_store(config: ClusterConfig, work: Work) -> None:
    """Do `work` with the open store, in an event loop of its own."""
    store = etcd_store(config.etcd)
    await store.open()
    try:
        async with asyncio.timeout(_SECONDS), asyncio.TaskGroup() as group:
            following = spawn(group, store.run(), name="store")
            await work(store)
            following.cancel()
    except TimeoutError:
        raise StoreError(f"etcd took more than {_SECONDS:g} s") from None
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        await store.close()


def _others(config: ClusterConfig, members: Collection[Member]) -> list[Member]:
    me = _known_member(config).id
    return [member for member in members if member.id != me]


async def _leave(store: EtcdStore, config: ClusterConfig, *, keep_data: bool, purge: bool) -> Left:
    me = _known_member(config)
    await store.txn(PREFIX + me.id, None, None)
    await _resign(store, me.id)
    others = _others(config, await read_members(store))
    members = tuple(str(member) for member in others)
    if purge and not others and await _exists(store, KEY):
        return Left(stay=await store.delete_all(), purged=True)
    nodes = pods = 0
    if not keep_data:
        owned = set(me.nodes) - {name for member in others for name in member.nodes}
        nodes, pods = await _remove_nodes(store, owned)
    return Left(nodes=nodes, pods=pods, stay=await store.count(), members=members)


async def _resign(store: EtcdStore, identity: str) -> None:
    """Let another lead at once, not only when our Lease has run out."""
    for row in (await store.range(_LEADER_KEY)).rows:
        if row.key == _LEADER_KEY and _decode(row.value)["spec"].get("holderIdentity") == identity:
            await store.txn(row.key, row.mod_rev, None)


async def _remove_nodes(store: EtcdStore, names: Collection[str]) -> tuple[int, int]:
    nodes = pods = 0
    for row in (await store.range("/registry/pods/")).rows:
        pod = _decode(row.value)
        # who holds a finalizer has yet to count the pod; the pod garbage collector sees to it
        if pod["spec"].get("nodeName") in names and not pod["metadata"].get("finalizers"):
            pods += (await store.txn(row.key, row.mod_rev, None)).succeeded
    for name in names:
        nodes += (await store.txn(f"/registry/minions/{name}", None, None)).succeeded
        await store.txn(f"/registry/leases/kube-node-lease/{name}", None, None)
    return nodes, pods


async def _exists(store: EtcdStore, key: str) -> bool:
    return any(row.key == key for row in (await store.range(key)).rows)


def _decode(value: bytes) -> Object:
    found: Object = msgspec.json.decode(value)
    return found
