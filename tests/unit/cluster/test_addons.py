"""The add-ons are valid objects for the real API, and the Corefile one for the real resolver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netemu.api.kinds import CONFIG_MAPS, DEPLOYMENTS, SERVICES
from netemu.apiserver.server import ApiServer
from netemu.cluster import addons
from netemu.config import ClusterConfig
from netemu.dns import corefile
from netemu.store.memory import MemoryStore


async def test_they_are_made_once_and_then_left_alone(tmp_path: Path) -> None:
    config = ClusterConfig(name="addons")
    server = ApiServer(config, store=MemoryStore(), pki=tmp_path / "pki")
    await server.open()
    client = server.local_client()
    await addons.apply_addons(client, config)
    service = await client.get(SERVICES, "kube-dns", "kube-system")
    assert service["spec"]["clusterIP"] == "10.96.0.10"
    await client.patch(CONFIG_MAPS, "coredns", "kube-system", {"data": {"Corefile": "mine"}})
    await addons.apply_addons(client, config)
    kept = await client.get(CONFIG_MAPS, "coredns", "kube-system")
    assert kept["data"] == {"Corefile": "mine"}
    assert (await client.get(DEPLOYMENTS, "coredns", "kube-system"))["spec"]["replicas"] == 2
    await server.close()


async def test_without_resolvers_there_is_no_deployment(tmp_path: Path) -> None:
    config = ClusterConfig(name="addons", dns_replicas=0)
    server = ApiServer(config, store=MemoryStore(), pki=tmp_path / "pki")
    await server.open()
    client = server.local_client()
    await addons.apply_addons(client, config)
    assert (await client.list(DEPLOYMENTS, "kube-system")).items == []
    await server.close()


def test_the_resolver_reads_the_corefile() -> None:
    config = replace(ClusterConfig(), cluster_domain="example.test")
    (block,) = corefile.parse(addons.corefile(config))
    assert [directive.name for directive in block.directives][:4] == [
        "errors",
        "health",
        "ready",
        "kubernetes",
    ]
    assert "example.test" in addons.corefile(config)


def test_outside_names_go_by_the_node_s_own_nameserver() -> None:
    """That is the relay, which knows the cluster's upstreams: pods have no route out."""
    config = replace(ClusterConfig(), upstream_nameservers=("192.0.2.53",))
    assert "forward . /etc/resolv.conf {" in addons.corefile(config)
