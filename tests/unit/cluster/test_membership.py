"""Fitting into a cluster in etcd, and leaving it: what goes, what stays, and what is said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netemu.apiserver.auth.sharedkeys import KEY
from netemu.apiserver.members import PREFIX, MembershipError
from netemu.cluster import membership
from netemu.config import ClusterConfig, EtcdConfig, NodeConfig
from netemu.store.protocol import StoreError

asyncio_run = membership.asyncio.run


@pytest.fixture
def config(etcd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterConfig:
    """A cluster of one node on an empty etcd, with data of the test's own."""
    monkeypatch.setattr(ClusterConfig, "data_dir", tmp_path / "data")
    return ClusterConfig(
        name="one", nodes=(NodeConfig(name="n1"),), etcd=EtcdConfig(servers=(etcd,))
    )


def write(config: ClusterConfig, objects: dict[str, Any]) -> None:
    async def work(store) -> None:
        for key, value in objects.items():
            await store.txn(key, None, json.dumps(value).encode())

    asyncio_run(membership._with_store(config, work))


def keys(config: ClusterConfig) -> set[str]:
    found: set[str] = set()

    async def work(store) -> None:
        found.update(row.key for row in (await store.range("/registry/")).rows)

    asyncio_run(membership._with_store(config, work))
    return found


def pod(node: str, *finalizers: str) -> dict[str, Any]:
    return {"metadata": {"finalizers": list(finalizers)}, "spec": {"nodeName": node}}


def record(config: ClusterConfig, name: str, node: str) -> dict[str, Any]:
    me = membership.member_of(config)
    other = replace(me, id=name, name=name, nodes=(node,))
    return {"metadata": {}, "member": json.loads(membership.msgspec.json.encode(other))}


OBJECTS = {
    "/registry/minions/n1": {"metadata": {}},
    "/registry/minions/n2": {"metadata": {}},
    "/registry/leases/kube-node-lease/n1": {"spec": {}},
    "/registry/pods/default/mine": pod("n1"),
    "/registry/pods/default/held": pod("n1", "batch.kubernetes.io/job-tracking"),
    "/registry/pods/default/theirs": pod("n2"),
    "/registry/configmaps/default/a": {"metadata": {}},
}


def test_what_is_ours_alone_goes_with_us(config: ClusterConfig) -> None:
    me = membership.member_of(config).id
    lead = {
        "/registry/leases/kube-system/kube-controller-manager": {"spec": {"holderIdentity": me}}
    }
    other = {f"{PREFIX}two": record(config, "two", "n2")}
    write(config, OBJECTS | lead | other | {f"{PREFIX}{me}": record(config, me, "n1")})
    said = membership.leave(config, keep_data=False, purge=False)
    assert said == 'removed 1 Nodes and 1 pods from etcd; the cluster goes on at "two" on ' + (
        membership.socket.gethostname()
    )
    gone = {
        "/registry/minions/n1",
        "/registry/leases/kube-node-lease/n1",
        "/registry/pods/default/mine",
    }
    assert keys(config) == (OBJECTS.keys() - gone) | {f"{PREFIX}two"}


def test_kept_data_stays_whole(config: ClusterConfig) -> None:
    write(config, OBJECTS)
    said = membership.leave(config, keep_data=True, purge=False)
    assert said.startswith("removed 0 Nodes and 0 pods from etcd; 7 keys stay there")
    assert keys(config) == OBJECTS.keys()


def test_only_the_last_member_may_empty_the_etcd(config: ClusterConfig) -> None:
    write(config, OBJECTS | {KEY: {"metadata": {}}, f"{PREFIX}two": record(config, "two", "n2")})
    with pytest.raises(MembershipError, match='are also those of "two"'):
        membership.require_alone(config)
    membership.leave(config, keep_data=False, purge=True)
    assert KEY in keys(config)

    async def end_two(store) -> None:
        await store.txn(f"{PREFIX}two", None, None)

    asyncio_run(membership._with_store(config, end_two))
    membership.require_alone(config)
    assert membership.leave(config, keep_data=False, purge=True).startswith("removed all")
    assert keys(config) == set()


def test_what_netemu_did_not_begin_is_never_emptied(config: ClusterConfig) -> None:
    write(config, OBJECTS)
    membership.leave(config, keep_data=True, purge=True)
    assert keys(config) == OBJECTS.keys()


def test_a_member_fits_itself_and_not_another_ones_nodes(config: ClusterConfig) -> None:
    membership.require_fit(config)
    assert not config.data_dir.exists(), "looking makes nothing"
    me = membership.member_of(config)
    write(config, {f"{PREFIX}{me.id}": record(config, me.id, "n1")})
    membership.require_fit(config)
    write(config, {f"{PREFIX}two": record(config, "two", "n1")})
    with pytest.raises(MembershipError, match='node n1 belongs to "two"'):
        membership.require_fit(config)
    assert membership.member_of(config).id == me.id


def test_an_etcd_that_is_away_stops_a_start_and_no_end(config: ClusterConfig) -> None:
    away = replace(config, etcd=EtcdConfig(servers=("http://127.0.0.1:9",)))
    with pytest.raises(StoreError, match="no etcd answers") as caught:
        membership.require_fit(away)
    assert "--etcd-servers" in caught.value.hint
    said = membership.leave(away, keep_data=False, purge=False)
    assert said.startswith("etcd still has the Nodes n1: no etcd answers")
