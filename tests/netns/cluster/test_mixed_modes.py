"""One cluster, another proxy mode on each node; a load balancer's address from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxied_node import has_ipvs

CLUSTER = """
apiVersion: netemu.dev/v1
kind: Cluster
nodes:
  - name: node-1
    proxyMode: iptables
    labels: {topology.kubernetes.io/zone: a}
  - name: node-2
    proxyMode: nftables
    labels: {topology.kubernetes.io/zone: b}
  - name: node-3
    proxyMode: flat
    labels: {topology.kubernetes.io/zone: b}
networking:
  nodeSubnet: 172.30.210.0/24
  loadBalancerPool: 203.0.113.0/28
hosts:
  - name: outside
    address: 172.30.210.100
"""
OBJECTS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80, nodePort: 30080}]
"""
NEAR = """
apiVersion: v1
kind: Pod
metadata: {name: near-1, labels: {app: near}}
spec: {nodeName: node-1, containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: near-2, labels: {app: near}}
spec: {nodeName: node-2, containers: [{name: web, image: nginx}]}
"""
NEAR_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: near}
spec: {selector: {app: near}, ports: [{port: 80}], trafficDistribution: DISTRIBUTION}
"""
RANGE = """
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: more}
spec: {cidrs: [10.200.0.0/24]}
"""
FURTHER = """
apiVersion: v1
kind: Service
metadata: {name: further}
spec: {clusterIP: 10.200.0.7, selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture(scope="module")
def mixed(make_cluster: Callable[..., Any], tmp_path_factory: Any) -> Any:
    file: Path = tmp_path_factory.mktemp("mixed") / "cluster.yaml"
    file.write_text(CLUSTER)
    cluster = make_cluster("mixed", "-f", str(file))
    cluster.run("apply", "-f", "-", stdin=OBJECTS)
    return cluster


def answers(cluster: Any, where: str, url: str) -> set[str]:
    """The first lines of what 15 fetches bring: which pods answered."""
    script = f"for i in $(seq 15); do wget -q -T 2 -t 1 -O - {url} | head -n 1; done"
    done = cluster.exec(where, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def test_every_node_serves_the_service_in_its_own_mode(mixed: Any) -> None:
    assert mixed.run("proxy-mode").splitlines() == [
        "node-1 iptables",
        "node-2 nftables",
        "node-3 flat",
    ]
    for pod in mixed.get("pods", "-l", "app=web")["items"]:
        assert len(answers(mixed, pod["metadata"]["name"], "http://web")) >= 2
    for node in mixed.get("nodes")["items"]:
        address = node["status"]["addresses"][0]["address"]
        assert len(answers(mixed, "host/outside", f"http://{address}:30080")) >= 2
    assert "KUBE-SVC-" in mixed.in_node("node-1", "iptables-save")
    tables = [mixed.in_node(f"node-{n}", "nft", "list", "tables") for n in (2, 3)]
    assert "kube-proxy" in tables[0] and "netemu-flat" not in tables[0]
    assert "netemu-flat" in tables[1] and "kube-proxy" not in tables[1]


def test_a_mode_that_the_machine_lacks_changes_nothing(mixed: Any) -> None:
    if has_ipvs():
        pytest.skip("this kernel has all modes")
    before = mixed.run("proxy-mode")
    for arguments in (("proxy-mode", "ipvs"), ("node", "add", "node-4", "--proxy-mode", "ipvs")):
        done = mixed.try_run(*arguments)
        assert done.returncode != 0 and "lacks ip" in done.stderr, done.stderr
    assert mixed.run("proxy-mode") == before
    mixed.run("apply", "-f", "-", stdin=NEAR)  # which waits for the proxies of all nodes
    mixed.run("delete", "pod", "near-1", "near-2")


def test_traffic_stays_near_while_it_can(mixed: Any) -> None:
    """The e2e tests of TrafficDistribution: the controller's hints, and each mode's use of them."""
    clients = {p["spec"]["nodeName"]: p["metadata"]["name"] for p in mixed.pods(app="web")}

    def reached() -> dict[str, set[str]]:
        told = {node: answers(mixed, pod, "http://near") for node, pod in clients.items()}
        return {
            node: {server for server in ("near-1", "near-2") if any(server in t for t in lines)}
            for node, lines in told.items()
        }

    mixed.run("apply", "-f", "-", stdin=NEAR)
    for distribution in ("PreferSameZone", "PreferSameNode"):
        mixed.run("apply", "-f", "-", stdin=NEAR_SERVICE.replace("DISTRIBUTION", distribution))
        # The third node has no server: the one of its zone is next.
        wanted = {"node-1": {"near-1"}, "node-2": {"near-2"}, "node-3": {"near-2"}}
        assert reached() == wanted, distribution
    mixed.run("delete", "pod", "near-2")
    mixed.run("apply", "-f", "-", stdin=NEAR_SERVICE.replace("DISTRIBUTION", "PreferSameZone"))
    assert reached() == dict.fromkeys(clients, {"near-1"})
    mixed.run("delete", "service", "near")
    mixed.run("delete", "pod", "near-1")


def test_a_further_range_of_service_addresses(mixed: Any) -> None:
    """KEP-1880: a ServiceCIDR is used once it is ready, and stays while it is in use."""
    mixed.run("apply", "-f", "-", stdin=RANGE)
    mixed.run("wait", "servicecidr/more", "--for=condition=Ready", "--timeout=60s")
    mixed.run("apply", "-f", "-", stdin=FURTHER)
    for pod in mixed.get("pods", "-l", "app=web")["items"]:
        assert len(answers(mixed, pod["metadata"]["name"], "http://10.200.0.7")) >= 2
    mixed.run("delete", "servicecidr", "more", "--wait=false")
    mixed.run("wait", "servicecidr/more", "--for=condition=Ready=false", "--timeout=60s")
    mixed.run("delete", "service", "further")
    mixed.run("wait", "servicecidr/more", "--for=delete", "--timeout=60s")


def test_a_load_balancers_address_is_reached_from_outside(mixed: Any) -> None:
    service = mixed.get("service", "web")
    (ingress,) = service["status"]["loadBalancer"]["ingress"]
    assert ingress["ip"].startswith("203.0.113.")
    assert len(answers(mixed, "host/outside", f"http://{ingress['ip']}")) >= 2


def test_a_load_balancers_address_moves_when_its_node_stops(mixed: Any) -> None:
    """To another node, where it stays when the first one is back: a move cuts connections."""
    service = mixed.get("service", "web")
    (ingress,) = service["status"]["loadBalancer"]["ingress"]
    url = f"http://{ingress['ip']}"
    for stopped in ("node-1", "node-2"):
        mixed.run("node", "stop", stopped)
        # Whatever the proxies still balance to it is lost: one answer shows that the way leads on.
        assert some_answer(mixed, "host/outside", url)
        mixed.run("node", "start", stopped)
        assert some_answer(mixed, "host/outside", url)


def some_answer(cluster: Any, where: str, url: str) -> bool:
    """Whether one of 30 fetches is answered."""
    script = f"for i in $(seq 30); do wget -q -T 2 -t 1 -O - {url} && exit 0; done; exit 1"
    return cluster.exec(where, "sh", "-c", script).returncode == 0
