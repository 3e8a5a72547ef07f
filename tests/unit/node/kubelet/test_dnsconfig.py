"""resolv.conf and hosts for each dnsPolicy, against the kubelet's rules."""

from __future__ import annotations

from typing import Any

import pytest

from netemu.node.kubelet.dnsconfig import (
    ResolverFile,
    compile_hosts,
    compile_resolver,
    fully_qualified,
    hostname,
    parse,
)

HOST = parse("search example.org. corp.\nnameserver 192.0.2.1 # x\noptions rotate\n")
CLUSTER = ("10.96.0.10",)
OWN = ("a.svc.cluster.local", "svc.cluster.local", "cluster.local")


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web-0", "namespace": "a"}, "spec": spec}


def compiled(**spec: Any) -> ResolverFile:
    found = compile_resolver(pod(**spec), HOST, cluster_dns=CLUSTER, domain="cluster.local")
    return found.file


FIRST = ResolverFile(CLUSTER, (*OWN, "example.org", "corp"), ("ndots:5",))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"dnsPolicy": "ClusterFirst"}, FIRST),
        ({}, FIRST),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, HOST),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, FIRST),
        ({"dnsPolicy": "Default"}, HOST),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"]}},
            ResolverFile(("1.1.1.1",), ("x",), ()),
        ),
    ],
)
def test_each_policy(spec: dict[str, Any], expected: ResolverFile) -> None:
    assert compiled(**spec) == expected


def test_dns_config_adds_and_overrides() -> None:
    config = {
        "nameservers": ["10.96.0.10", "1.1.1.1"],
        "searches": ["svc.cluster.local", "more"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    found = compiled(dnsConfig=config)
    assert found.nameservers == ("10.96.0.10", "1.1.1.1")
    assert found.searches == (*OWN, "example.org", "corp", "more")
    assert found.options == ("ndots:2", "edns0")


def test_too_much_is_cut_and_said() -> None:
    config = {"nameservers": [f"1.1.1.{i}" for i in range(5)], "searches": ["s" * 250] * 1}
    config["searches"] = [f"{i}{'s' * 240}" for i in range(10)]
    found = compile_resolver(
        pod(dnsConfig=config), HOST, cluster_dns=CLUSTER, domain="cluster.local"
    )
    assert len(found.file.nameservers) == 3
    assert len(" ".join(found.file.searches)) <= 2048
    assert [reason for reason, _ in found.warnings] == ["DNSConfigForming"] * 2
    assert [message.split()[0] for _, message in found.warnings] == ["Nameserver", "Search"]


def test_a_search_domain_that_crashes_resolvers_is_left_out() -> None:
    host = ResolverFile(("192.0.2.1",), ("a" * 254, "b" * 253), ())
    found = compile_resolver(pod(), host, cluster_dns=CLUSTER, domain="cluster.local")
    assert found.file.searches == (*OWN, "b" * 253)
    assert [reason for reason, _ in found.warnings] == ["DNSConfigForming"]


@pytest.mark.parametrize(
    "spec", [{}, {"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}]
)
def test_without_a_cluster_dns_it_is_the_nodes_resolver_and_said(spec: dict[str, Any]) -> None:
    found = compile_resolver(pod(**spec), HOST, cluster_dns=(), domain="cluster.local")
    assert found.file == HOST
    ((reason, message),) = found.warnings
    assert reason == "MissingClusterDNS"
    assert message.startswith('pod: "web-0_a(')
    assert "Falling back to" in message
    assert found.node_warning == (reason, message.partition(". ")[2])
    default = compile_resolver(
        pod(dnsPolicy="Default"), HOST, cluster_dns=(), domain="cluster.local"
    )
    assert (default.warnings, default.node_warning) == ((), None)


def test_it_renders_as_a_file() -> None:
    assert FIRST.render() == (
        "search a.svc.cluster.local svc.cluster.local cluster.local example.org corp\n"
        "nameserver 10.96.0.10\noptions ndots:5\n"
    )
    assert parse(FIRST.render()) == FIRST


def test_hosts_names_the_pod_and_its_aliases() -> None:
    obj = pod(
        hostname="h", subdomain="s", hostAliases=[{"ip": "192.0.2.9", "hostnames": ["x", "y"]}]
    )
    text = compile_hosts(obj, ["10.244.1.2"], domain="cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.244.1.2\th.s.a.svc.cluster.local\th\n" in text
    assert text.endswith("192.0.2.9\tx\ty\n")


def test_a_pod_on_the_hosts_network_has_the_nodes_file() -> None:
    text = compile_hosts(pod(hostNetwork=True), [], domain="d", node_hosts="1.2.3.4\tnode\n")
    assert text.splitlines()[1] == "1.2.3.4\tnode"


def test_host_names_are_short_enough() -> None:
    obj = {"metadata": {"name": "x" * 62 + "-abc", "namespace": "a"}, "spec": {}}
    assert hostname(obj) == "x" * 62
    assert fully_qualified(obj, "d") == ""
