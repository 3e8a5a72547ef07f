"""The black-box cases from a pod, through kube-dns; a resolver's death under load; stub models."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dns_cases import CASES, ask_from
from netemu.dns import wire
from netemu.dns.asking import Asker
from netemu.dns.stub import Resolver
from netemu.node import netns

HERE = Path(__file__).parent

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: asker, namespace: default}
spec:
  containers: [{name: main, image: busybox, command: [sleep, infinity]}]
"""


@pytest.fixture(scope="module")
def dns(make_cluster: Callable[..., Any]) -> Any:
    """A cluster with the cases' objects and one pod that asks."""
    cluster = make_cluster("dns")
    world = "---\n".join(
        document
        for document in (CASES / "world.yaml").read_text().split("---\n")
        if "fd00:10:96" not in document  # dual-stack needs a dual-stack cluster
    )
    cluster.run("apply", "-f", "-", stdin=world)
    cluster.run("apply", "-f", "-", stdin=POD)
    cluster.run("wait", "pod/asker", "--for=condition=Ready")
    return cluster


def ask(cluster: Any, *words: str) -> Any:
    done = cluster.try_run("dns", "query", *words, "--from", "asker", "-o", "json")
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


NEEDS_MORE = re.compile(
    r"dual|six|fd00|ip6\.arpa"  # a dual-stack cluster
    r"|outside|example\.test|in-addr\.arpa\. \w+\nNXDOMAIN"  # an upstream of the tests' own
    r"|ns\.dns\.cluster|cluster\.local\. NS"  # here the Service kube-dns leads to the resolver
)


def test_every_case_through_kube_dns(dns: Any, tmp_path: Path) -> None:
    """The cases of the kubeadm Corefile, from the pod, over UDP and TCP."""
    files = ("zone", "clusterip", "headless", "externalname", "ptr", "pods-insecure")
    asked = ask_from("dns.default.asker", files, lambda row: not NEEDS_MORE.search(row), tmp_path)
    assert asked > 250


def test_the_name_server_of_the_zone_is_kube_dns(dns: Any) -> None:
    found = ask(dns, "cluster.local.", "NS")["found"]
    assert found == ["kube-dns.kube-system.svc.cluster.local."]


def test_apply_returns_when_the_name_answers(dns: Any) -> None:
    for number in range(5):
        manifest = (
            f"apiVersion: v1\nkind: Service\nmetadata: {{name: fresh-{number}}}\n"
            f"spec: {{ports: [{{port: 80}}]}}\n"
        )
        dns.run("apply", "-f", "-", stdin=manifest)
        address = dns.get("service", f"fresh-{number}")["spec"]["clusterIP"]
        assert ask(dns, f"fresh-{number}")["found"] == [address]


def test_the_stub_models_differ(dns: Any) -> None:
    for model in ("glibc", "musl", "go"):
        assert ask(dns, "www.nowhere.invalid", "--resolver", model)["queries"] == 8
    name = "web.alpha"
    assert ask(dns, name, "--resolver", "musl")["found"] == ["10.96.10.1"]
    assert ask(dns, name, "--resolver", "glibc")["queries"] == 4


def test_explain_names_the_object(dns: Any) -> None:
    done = dns.try_run("dns", "explain", "web.alpha")
    assert done.returncode == 0
    assert "Service alpha/web" in done.stdout
    done = dns.try_run("dns", "explain", "wep.alpha")
    assert done.returncode == 1
    assert 'did you mean "web"?' in done.stdout


def test_metrics_ready_and_health_answer_in_the_resolvers_pods(dns: Any) -> None:
    pods = dns.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    assert len(pods) == 2
    total = 0.0
    for pod in pods:
        where = ["ip", "netns", "exec", f"dns.kube-system.{pod['metadata']['name']}"]
        for port, path, text in (
            (8181, "ready", "OK"),
            (8080, "health", "OK"),
            (9153, "metrics", "coredns_build_info"),
        ):
            url = f"http://{pod['status']['podIP']}:{port}/{path}"
            code = (
                f"import urllib.request as u; print(u.urlopen({url!r}, timeout=60).read().decode())"
            )
            done = subprocess.run(
                [*where, sys.executable, "-c", code], capture_output=True, text=True, timeout=120
            )
            assert text in done.stdout, done.stderr
            for line in done.stdout.splitlines():
                if line.startswith("coredns_dns_requests_total"):
                    total += float(line.rpartition(" ")[2])
    assert total > 100


def test_a_corefile_with_a_mistake_is_refused_and_a_good_one_taken(dns: Any) -> None:
    config = dns.get("configmap", "coredns", "-n", "kube-system")
    text = config["data"]["Corefile"]

    def write(corefile: str) -> None:
        patch = json.dumps({"data": {"Corefile": corefile}})
        dns.run("patch", "configmap", "coredns", "-n", "kube-system", "--type=merge", "-p", patch)

    try:
        write(text.replace("ttl 30", "ttl forever"))
        assert ask(dns, "web.alpha")["found"] == ["10.96.10.1"]
        write(
            text.replace(
                "errors",
                "errors\n    hosts {\n      192.0.2.7 added.test\n      fallthrough\n    }",
            )
        )
        deadline = time.monotonic() + 60
        while ask(dns, "added.test.", "A")["found"] != ["192.0.2.7"]:
            assert time.monotonic() < deadline
    finally:
        write(text)


PATIENT = Resolver(nameservers=("10.96.0.10",), timeout=60.0, attempts=120)
"""As musl asks: on one socket, each half second again, deaf to refusals. A conntrack entry to a
dead resolver would hold for all of its tries."""


def in_asker(family: int, kind: int) -> socket.socket:
    return netns.socket_in(netns.path_of("dns.default.asker"), family, kind)


def look_up(open_: Callable[[int, int], socket.socket] = in_asker) -> str:
    """`found`, or what else came of it."""
    outcome = Asker(PATIENT, open_, model="musl").ask("web.alpha.svc.cluster.local.", [wire.A])[0]
    return "found" if outcome.addresses == ("10.96.10.1",) else f"{outcome}"


class Asking(threading.Thread):
    """Looks one name up again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = threading.Event()
        self.failed: list[str] = []
        self.count = 0

    def run(self) -> None:
        while not self.stop.is_set() and not self.failed:
            verdict = look_up()
            self.count += 1
            if verdict != "found":
                self.failed.append(verdict)


@contextmanager
def askers(number: int) -> Iterator[list[Asking]]:
    threads = [Asking() for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.stop.set()
        for thread in threads:
            thread.join()


def flows(cluster: Any, node: str) -> list[str]:
    """The node's UDP connections; the answering side's address tells which resolver it is."""
    listed = cluster.in_node(node, "conntrack", "-L", "-p", "udp", "--dport", "53")
    return str(listed).splitlines()


def leads_to(cluster: Any, node: str, address: str, port: int | None = None) -> bool:
    """Whether a connection (from that port) is answered by `address`."""
    client = f" sport={port} " if port else " "
    return any(f"src={address} " in flow and client in flow for flow in flows(cluster, node))


def resolvers(cluster: Any) -> list[Any]:
    pods = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def test_a_resolver_dies_under_load(dns: Any) -> None:
    """Whoever asked it is answered by another one with the next try, and it is replaced.

    `delete` returns when the rules are in and the entries cut: from then on nothing leads there.
    """
    victim, other = resolvers(dns)
    dead = victim["status"]["podIP"]
    node = dns.get("pod", "asker")["spec"]["nodeName"]
    with ExitStack() as stack:
        threads = stack.enter_context(askers(3))

        def client_of_the_victim() -> socket.socket | None:
            client = stack.enter_context(in_asker(socket.AF_INET, socket.SOCK_DGRAM))
            assert look_up(lambda *kind: client.dup()) == "found"
            return client if leads_to(dns, node, dead, client.getsockname()[1]) else None

        client = dns.until(client_of_the_victim, "a connection to the resolver that is to die")
        name = victim["metadata"]["name"]
        dns.run("delete", "pod", name, "-n", "kube-system", "--grace-period=0", "--force")
        assert look_up(lambda *kind: client.dup()) == "found"
        for _ in range(40):  # each from a port of its own
            assert look_up() == "found"
        assert not leads_to(dns, node, dead)
        dns.run("rollout", "status", "deployment/coredns", "-n", "kube-system")
        kept = other["metadata"]["name"]
        (fresh,) = [pod for pod in resolvers(dns) if pod["metadata"]["name"] != kept]
        address = fresh["status"]["podIP"]
        dns.until(lambda: leads_to(dns, node, address), "an answer of the new resolver")
        for thread in threads:
            so_far = thread.count
            dns.until(lambda t=thread, n=so_far: t.failed or t.count > n + 20, "20 more look-ups")
    assert [thread.failed for thread in threads] == [[], [], []]


def test_no_client_sticks_to_resolvers_that_were_rolled_out(dns: Any) -> None:
    """Both are replaced, one after the other, while the same sockets ask on."""
    former = {pod["status"]["podIP"] for pod in resolvers(dns)}
    node = dns.get("pod", "asker")["spec"]["nodeName"]
    with ExitStack() as stack:
        threads = stack.enter_context(askers(2))
        clients = [
            stack.enter_context(in_asker(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(16)
        ]

        def moved() -> bool:
            assert [look_up(lambda *kind, c=c: c.dup()) for c in clients] == ["found"] * 16
            return not any(leads_to(dns, node, address) for address in former)

        assert not moved()
        dns.run("rollout", "restart", "deployment/coredns", "-n", "kube-system")
        dns.run("rollout", "status", "deployment/coredns", "-n", "kube-system")
        dns.until(moved, "all clients at the new resolvers")
    assert [thread.failed for thread in threads] == [[], []]
