"""resolv.conf, hosts and events of real pods, for each dnsPolicy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

DOMAIN = "corp.example"
OWN = f"default.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
CLUSTER_FIRST = [f"search {OWN}", "nameserver 10.96.0.10", "options ndots:5"]

PODS: dict[str, dict[str, Any]] = {
    "first": {},
    "host": {"hostNetwork": True},
    "host-first": {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
    "node": {"dnsPolicy": "Default"},
    "none": {
        "dnsPolicy": "None",
        "dnsConfig": {
            "nameservers": ["192.0.2.1"],
            "searches": ["ns1.svc.cluster-domain.example", "my.dns.search.suffix"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        },
    },
    "merged": {
        "dnsConfig": {
            "nameservers": ["10.96.0.10", "192.0.2.1"],
            "searches": [DOMAIN, "more.example"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        }
    },
    "cut": {
        "dnsConfig": {
            "nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
            "searches": [f"d{n}.example" for n in range(32)],
        }
    },
    "named": {
        "hostname": "db-0",
        "subdomain": "db",
        "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["legacy", "legacy.example"]}],
    },
    "host-aliases": {
        "hostNetwork": True,
        "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["legacy"]}],
    },
}


@pytest.fixture(scope="module")
def policies(make_cluster: Callable[..., Any]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETEMU_DNS_DOMAIN", DOMAIN)
        cluster = make_cluster("poddns", "--nodes", "1")
    container = {"name": "main", "image": "busybox", "command": ["sleep", "infinity"]}
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
         "spec": {**spec, "containers": [container]}}
        for name, spec in PODS.items()
    ]  # fmt: skip
    cluster.run(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    )
    cluster.run("wait", *(f"pod/{name}" for name in PODS), "--for=condition=Ready")
    return cluster


def file(cluster: Any, pod: str, path: str) -> list[str]:
    done = cluster.exec(pod, "cat", path)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_resolver_of_each_policy(policies: Any) -> None:
    node = policies.get("node", "node-1")["status"]["addresses"][0]["address"]
    machine = node.rpartition(".")[0] + ".1"  # the relay, on the underlay
    expected = {
        "first": CLUSTER_FIRST,
        "host": [f"nameserver {machine}"],
        "host-first": CLUSTER_FIRST,
        "node": [f"nameserver {machine}"],
        "none": [
            "search ns1.svc.cluster-domain.example my.dns.search.suffix",
            "nameserver 192.0.2.1",
            "options ndots:2 edns0",
        ],
        "merged": [
            f"search {OWN} more.example",
            "nameserver 10.96.0.10",
            "nameserver 192.0.2.1",
            "options ndots:2 edns0",
        ],
        "cut": [
            f"search {OWN} {' '.join(f'd{n}.example' for n in range(29))}",
            "nameserver 10.96.0.10",
            "nameserver 192.0.2.1",
            "nameserver 192.0.2.2",
            "options ndots:5",
        ],
    }
    found = {name: file(policies, name, "/etc/resolv.conf") for name in expected}
    assert found == expected


def test_a_query_uses_the_pods_own_resolver(policies: Any) -> None:
    """`dns query --from` knows what the kubelet wrote, also in a domain that is not the usual."""
    for name in ("first", "host", "host-first", "node", "merged"):
        words = [line.split() for line in file(policies, name, "/etc/resolv.conf")]
        servers = " ".join(word for kind, *rest in words if kind == "nameserver" for word in rest)
        searches = " ".join(word for kind, *rest in words if kind == "search" for word in rest)
        done = policies.try_run("dns", "query", f"kubernetes.default.svc.{DOMAIN}.", "--from", name)
        first = done.stdout.splitlines()[0]
        assert first.startswith(f"glibc: nameserver {servers} search {searches or '-'} ndots:")
        assert (done.returncode == 0) == (servers.startswith("10.96.0.10"))
    done = policies.try_run("dns", "explain", "kubernetes.default")
    assert "Service default/kubernetes makes it exist" in done.stdout


def test_what_was_cut_is_told_by_events(policies: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        events = [
            each
            for each in policies.get("events")["items"]
            if each["reason"] in ("DNSConfigForming", "MissingClusterDNS")
        ]
        if len(events) >= 2:
            break
        assert time.monotonic() < deadline
    assert {each["involvedObject"]["name"] for each in events} == {"cut"}
    assert {each["type"] for each in events} == {"Warning"}
    assert sorted(each["message"].partition(" limits")[0] for each in events) == [
        "Nameserver",
        "Search Line",
    ]


def test_hosts_files(policies: Any) -> None:
    address = policies.get("pod", "named")["status"]["podIP"]
    hosts = file(policies, "named", "/etc/hosts")
    assert hosts[0] == "# Kubernetes-managed hosts file."
    assert f"{address}\tdb-0.db.default.svc.{DOMAIN}\tdb-0" in hosts
    assert hosts[-1] == "192.0.2.9\tlegacy\tlegacy.example"
    assert file(policies, "named", "/etc/hostname") == ["db-0"]
    node = policies.get("node", "node-1")["status"]["addresses"][0]["address"]
    hosts = file(policies, "host-aliases", "/etc/hosts")
    assert hosts[0] == "# Kubernetes-managed hosts file (host network)."
    assert f"{node}\tnode-1" in hosts
    assert hosts[-1] == "192.0.2.9\tlegacy"


def test_more_than_the_limits_is_refused(policies: Any) -> None:
    for config, why in (
        ({"nameservers": [f"192.0.2.{n}" for n in range(4)]}, "more than 3 nameservers"),
        ({"searches": [f"d{n}" for n in range(33)]}, "more than 32 search paths"),
        ({"searches": [f"{n}{'s' * 60}.{'t' * 60}" for n in range(20)]}, "more than 2048"),
    ):
        pod = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "refused"},
            "spec": {"dnsConfig": config, "containers": [{"name": "c", "image": "busybox"}]},
        }  # fmt: skip
        done = policies.try_run("apply", "-f", "-", stdin=json.dumps(pod))
        assert done.returncode == 1
        assert why in done.stderr


@pytest.fixture(scope="module")
def unserved(make_cluster: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cluster whose kubelets know no cluster DNS, with a pod of each kind that would use it."""
    file = tmp_path_factory.mktemp("unserved") / "cluster.yaml"
    file.write_text(
        "apiVersion: netemu.dev/v1\nkind: Cluster\nnodes: 1\ndns: {clusterDNS: [], replicas: 1}\n"
    )
    cluster = make_cluster("unserved", "--config", str(file))
    container = {"name": "main", "image": "busybox", "command": ["sleep", "infinity"]}
    for name, spec in (
        ("first", {}),
        ("host-first", {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}),
        ("node", {"dnsPolicy": "Default"}),
    ):
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}}
        pod["spec"] = {**spec, "containers": [container]}
        cluster.run("apply", "-f", "-", stdin=json.dumps(pod))
        cluster.run("wait", f"pod/{name}", "--for=condition=Ready")
    return cluster


def test_without_a_cluster_dns_pods_get_the_nodes_resolver(unserved: Any) -> None:
    files = [file(unserved, name, "/etc/resolv.conf") for name in ("first", "host-first", "node")]
    assert files[0] == files[1] == files[2]
    assert files[0][0].startswith("nameserver 172.30."), "the relay, as the node has it"
    done = unserved.try_run("dns", "query", "kubernetes.default", "--from", "first")
    assert done.stdout.startswith(f"glibc: {files[0][0]} search - ndots:1")


def test_a_missing_cluster_dns_is_told_of_the_pod_and_of_its_node(unserved: Any) -> None:
    said = (
        "kubelet does not have ClusterDNS IP configured and cannot create Pod using "
        '"ClusterFirst" policy. Falling back to "Default" policy.'
    )
    expected = {("Node", "node-1", said)}
    for name in ("first", "host-first"):
        uid = unserved.get("pod", name)["metadata"]["uid"]
        expected.add(("Pod", name, f'pod: "{name}_default({uid})". {said}'))
    deadline = time.monotonic() + 60
    while True:
        events = [
            each
            for each in unserved.get("events")["items"]
            if each["reason"] == "MissingClusterDNS"
        ]
        about = [(each["involvedObject"], each["message"]) for each in events]
        found = {(each["kind"], each["name"], message) for each, message in about}
        if found >= expected or time.monotonic() > deadline:
            break
    mine = {row for row in found if not row[1].startswith("coredns-")}
    assert mine == expected
    assert {each["type"] for each in events} == {"Warning"}
