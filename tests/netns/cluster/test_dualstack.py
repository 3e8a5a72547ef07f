"""Clusters with IPv4 and IPv6, and with IPv6 alone: pods, Services, names and packets."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.rdatatype
import dns.rrset
import pytest

from dns_cases import CASES, ask_from
from web_deployment import web_deployment

SERVICES = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: pods}
spec:
  clusterIP: None
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: v1
kind: Pod
metadata: {name: asker}
spec:
  containers: [{name: main, image: busybox, command: [sleep, infinity]}]
"""
OBJECTS = f"{web_deployment()}\n---\n{SERVICES}"


@pytest.fixture(scope="module")
def dual(make_cluster: Callable[..., Any]) -> Any:
    cluster = make_cluster(
        "dual", "--nodes", "2",
        "--pod-subnet", "10.244.0.0/16,fd00:10:244::/56",
        "--service-subnet", "10.96.0.0/12,fd00:10:96::/112",
    )  # fmt: skip
    cluster.run("apply", "-f", "-", stdin=OBJECTS)
    cluster.run("wait", "pod/asker", "--for=condition=Ready")
    return cluster


def ips(pod: Any) -> list[str]:
    return [each["ip"] for each in pod["status"]["podIPs"]]


def asked(cluster: Any, *words: str) -> set[str]:
    done = cluster.try_run("dns", "query", *words, "--from", "asker", "-o", "json")
    return set(json.loads(done.stdout)["found"])


def test_pods_have_an_address_of_each_family_and_reach_each_other(dual: Any) -> None:
    pods = dual.get("pods", "-l", "app=web")["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    for pod in pods:
        four, six = ips(pod)
        assert four.startswith("10.244.")
        assert six.startswith("fd00:10:244:")
        assert dual.exec("asker", "ping", "-c1", "-W10", four).returncode == 0
        assert dual.exec("asker", "ping", "-6", "-c1", "-W10", six).returncode == 0


def test_names_have_both_families(dual: Any) -> None:
    pods = dual.get("pods", "-l", "app=web")["items"]
    assert asked(dual, "pods") == {address for pod in pods for address in ips(pod)}
    clusterips = dual.get("service", "web")["spec"]["clusterIPs"]
    assert asked(dual, "web") == set(clusterips)
    assert asked(dual, "web", "A") == set(clusterips[:1])
    assert asked(dual, "web", "AAAA") == set(clusterips[1:])
    assert asked(dual, "six") == set(dual.get("service", "six")["spec"]["clusterIPs"])


def test_services_answer_on_both_families(dual: Any) -> None:
    (six,) = dual.get("service", "six")["spec"]["clusterIPs"]
    for address in (*dual.get("service", "web")["spec"]["clusterIPs"], six):
        host = f"[{address}]" if ":" in address else address
        done = dual.exec("asker", "wget", "-qO-", "-T60", f"http://{host}/")
        assert "pod: web-" in done.stdout, done.stderr


def test_the_resolver_is_reached_over_ipv6(dual: Any) -> None:
    """At its pods' own addresses, and through kube-dns once that has both families."""
    pods = dual.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    servers = [ips(pod)[1] for pod in pods]
    patch = '{"spec": {"ipFamilyPolicy": "RequireDualStack"}}'
    dual.run("patch", "service", "kube-dns", "-n", "kube-system", "--type=merge", "-p", patch)
    service = dual.get("service", "kube-dns", "-n", "kube-system")["spec"]
    dual.run("apply", "-f", "-", stdin=OBJECTS)  # returns when the nodes know it
    expected = set(dual.get("service", "web")["spec"]["clusterIPs"])
    for server in (*servers, service["clusterIPs"][1]):
        for transport in ([], ["--tcp"]):
            name = "web.default.svc.cluster.local."
            assert asked(dual, name, "-s", f"[{server}]:53", *transport) == expected


def test_the_dual_stack_cases_from_a_pod(dual: Any, tmp_path: Path) -> None:
    """Those rows of the checklist that a cluster of one family cannot have."""
    dual.run("apply", "-f", "-", stdin=(CASES / "world.yaml").read_text())

    def chosen(row: str) -> bool:
        needs_upstream = re.search(r"outside|arpa\. \w+\nNXDOMAIN", row)
        return bool(re.search(r"dual|six|fd00|ip6\.arpa", row)) and not needs_upstream

    files = ("clusterip", "headless", "ptr", "pods-insecure")
    assert ask_from("dual.default.asker", files, chosen, tmp_path) > 20


@pytest.fixture
def outside() -> Iterator[str]:
    """A name server of this machine that gives every name one address."""

    def serve(sock: socket.socket) -> None:
        while (data := sock.recvfrom(4096))[0]:
            reply = dns.message.make_response(dns.message.from_wire(data[0]))
            name = reply.question[0].name
            if reply.question[0].rdtype == dns.rdatatype.A:
                reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.80"))
            sock.sendto(reply.to_wire(), data[1])

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(sock,))
        thread.start()
        yield f"127.0.0.1:{sock.getsockname()[1]}"
        sock.sendto(b"", sock.getsockname())
        thread.join()


@pytest.mark.parametrize(
    ("pods", "services"),
    [
        ("fd00:10:244::/56", "fd00:10:96::/112"),
        ("fd00:10:244::/56,10.244.0.0/16", "fd00:10:96::/112,10.96.0.0/12"),
    ],
)
def test_ipv6_alone_or_first(
    make_cluster: Callable[..., Any],
    outside: str,
    monkeypatch: pytest.MonkeyPatch,
    pods: str,
    services: str,
) -> None:
    """The resolver, the API and, by the relay, outside names are reached over IPv6."""
    name = "first" if "," in pods else "alone"
    subnets = ("--pod-subnet", pods, "--service-subnet", services)
    monkeypatch.setenv("NETEMU_DNS_UPSTREAMS", outside)
    cluster = make_cluster(name, "--nodes", "2", *subnets)
    cluster.run("apply", "-f", "-", stdin=OBJECTS.replace("RequireDual", "PreferDual"))
    cluster.run("wait", "pod/asker", "--for=condition=Ready")
    assert "nameserver fd00:10:96::a\n" in cluster.exec("asker", "cat", "/etc/resolv.conf").stdout
    address = cluster.get("service", "web")["spec"]["clusterIPs"][0]
    assert address.startswith("fd00:10:96:")
    assert address in asked(cluster, "web")
    done = cluster.exec("asker", "wget", "-qO-", "-T60", f"http://[{address}]/")
    assert "pod: web-" in done.stdout, done.stderr
    done = cluster.exec("asker", "curl", "-sk", "-m60", "https://[fd00:10:96::1]/version")
    assert done.returncode == 0, done.stderr
    assert asked(cluster, "a.test.", "A") == {"192.0.2.80"}
