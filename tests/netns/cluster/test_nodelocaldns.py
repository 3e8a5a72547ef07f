"""NodeLocal DNSCache: the example's manifest, asked from a pod; nothing of it is in conntrack."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from netemu.node import netns

ASK = ("dns", "query", "kubernetes.default.svc.cluster.local.", "A", "--from", "asker")


@pytest.fixture(scope="module")
def cached(make_cluster: Callable[..., Any]) -> Any:
    """A node with the cache, and one pod that asks."""
    cluster = make_cluster("nodelocal", "--nodes", "1")
    cluster.run("apply", "-f", "examples/dns/nodelocaldns.yaml")
    cluster.run("rollout", "status", "daemonset/node-local-dns", "-n", "kube-system")
    cluster.run("run", "asker", "--image=busybox", "--", "sleep", "infinity")
    cluster.run("wait", "pod/asker", "--for=condition=Ready")
    return cluster


def metric(name: str) -> float:
    """Sum of a metric of the node's cache."""

    def page() -> str:
        with urllib.request.urlopen("http://127.0.0.1:9253/metrics", timeout=60) as reply:
            return str(reply.read().decode())

    lines = netns.call_in(netns.path_of("nodelocal.node-1"), page).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_the_node_answers_from_its_cache(cached: Any) -> None:
    before = metric("coredns_cache_hits_total")

    def hit() -> bool:  # on a busy machine what was kept may be too old when it is asked again
        cached.run(*ASK)
        return metric("coredns_cache_hits_total") > before

    cached.until(hit, "an answer from the cache")


def test_pods_queries_are_not_tracked(cached: Any) -> None:
    """Neither by the pods' own resolv.conf nor at the link-local address; `kube-dns` is."""
    kube_dns = cached.get("service", "kube-dns-upstream", "-n", "kube-system")["spec"]["clusterIP"]
    for server in ("10.96.0.10", "169.254.20.10", kube_dns):
        cached.run(*ASK, "-s", server)
    listed = cached.in_node("node-1", "conntrack", "-L", "-p", "udp", "--dport", "53")
    asked = {word for line in listed.splitlines() for word in line.split() if "dst=" in word}
    assert f"dst={kube_dns}" in asked
    assert not {"dst=10.96.0.10", "dst=169.254.20.10"} & asked


def test_the_cluster_is_asked_over_tcp(cached: Any) -> None:
    cached.run(*ASK)
    listed = cached.in_node("node-1", "conntrack", "-L", "-p", "tcp", "--dport", "53")
    kube_dns = cached.get("service", "kube-dns-upstream", "-n", "kube-system")["spec"]["clusterIP"]
    assert f"dst={kube_dns} " in listed
