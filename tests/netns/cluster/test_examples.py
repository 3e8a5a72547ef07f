"""The main job on real packets: the example manifests, pinged, fetched and looked up."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from typing import Any

import pytest

FETCHES = 300


def pods_of(cluster: Any, label: str) -> list[Any]:
    return cluster.get("pods", "-l", label)["items"]


@pytest.fixture
def apart(examples: Any) -> tuple[Any, Any]:
    """Two pods of the Deployment on different nodes."""
    pods = pods_of(examples, "app=nginx-deploy")
    first = pods[0]
    other = next(pod for pod in pods if pod["spec"]["nodeName"] != first["spec"]["nodeName"])
    return first, other


def test_every_pod_is_ready(examples: Any) -> None:
    pods = examples.get("pods", "-A")["items"]
    assert len(pods) >= 10
    for pod in pods:
        conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
        assert conditions["Ready"] == "True", pod["metadata"]["name"]
        assert pod["status"]["podIP"].startswith("10.244.")
        assert pod["status"]["hostIP"].startswith("172.30.")


def test_pods_ping_each_other_across_nodes(examples: Any) -> None:
    out = examples.run("pingall", "-W", "10")
    assert re.search(r"0% dropped \((\d+)/\1 received\)", out), out


def test_first_packet_is_not_delayed_by_arp(examples: Any, apart: tuple[Any, Any]) -> None:
    source, target = apart
    done = examples.exec(
        source["metadata"]["name"], "ping", "-c", "3", "-i", "0.2", target["status"]["podIP"]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    times = [float(text) for text in re.findall(r"time=([\d.]+) ms", done.stdout)]
    assert len(times) == 3
    assert times[0] < 900, "an ARP retry alone takes a second"


def test_overlay_mtu(examples: Any, apart: tuple[Any, Any]) -> None:
    source, target = apart
    name, address = source["metadata"]["name"], target["status"]["podIP"]
    fits = examples.exec(name, "ping", "-M", "do", "-c", "1", "-s", "1422", address)
    assert fits.returncode == 0, fits.stdout + fits.stderr
    too_long = examples.exec(name, "ping", "-M", "do", "-c", "1", "-s", "1423", address)
    assert too_long.returncode != 0
    assert "message too long" in (too_long.stdout + too_long.stderr).lower()


def test_vxlan_on_the_underlay(examples: Any, apart: tuple[Any, Any]) -> None:
    source, target = apart
    node = source["spec"]["nodeName"]
    with subprocess.Popen(
        ["ip", "netns", "exec", f"{examples.name}.{node}", "tcpdump", "-l", "-n", "-T", "vxlan"]
        + ["-c", "2", "-i", "eth0", "udp port 8472 and udp[39] = 1"],  # ICMP inside
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as capture:
        assert capture.stderr is not None
        for line in capture.stderr:
            if "listening on" in line:
                break
        address = target["status"]["podIP"]
        done = examples.exec(source["metadata"]["name"], "ping", "-c", "2", "-i", "0.2", address)
        assert done.returncode == 0, done.stdout + done.stderr
        out, _ = capture.communicate(timeout=60)
    assert re.search(r"\.8472: VXLAN, flags \[I\] \(0x08\), vni 1\n", out), out
    assert f"{source['status']['podIP']} > {address}" in out, out


def test_service_spreads_and_keeps_the_source(examples: Any) -> None:
    endpoints = {pod["metadata"]["name"] for pod in pods_of(examples, "app=nginx-deploy")}
    script = f"for i in $(seq {FETCHES}); do wget -q -O - http://nginx-service; echo; done"
    done = examples.exec("nginx-demo", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    served: Counter[str] = Counter()
    for name in endpoints:
        served[name] = done.stdout.count(name)
    total = sum(served.values())
    assert total >= FETCHES
    for name, count in served.items():
        assert 0.20 <= count / total <= 0.47, (name, served)
    client = examples.get("pod", "nginx-demo")["status"]["podIP"]
    assert done.stdout.count(client) >= FETCHES, "the server must see the pod's own address"


def test_fetch_from_another_namespace(examples: Any) -> None:
    done = examples.try_run(
        "exec",
        "-n",
        "other",
        "fetcher",
        "--",
        "wget",
        "-q",
        "-O",
        "-",
        "http://nginx-service.default",
    )
    assert done.returncode == 0, done.stderr
    assert "nginx-deploy" in done.stdout


def test_statefulset_names(examples: Any) -> None:
    for index in range(3):
        pod = examples.get("pod", f"web-{index}")
        name = f"web-{index}.nginx.default.svc.cluster.local"
        done = examples.exec("nginx-demo", "nslookup", name)
        assert pod["status"]["podIP"] in done.stdout, done.stdout + done.stderr


def test_service_without_selector_leads_outside(examples: Any) -> None:
    done = examples.exec("nginx-demo", "wget", "-q", "-O", "-", "http://nginx-svc-external")
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_node_port_from_outside_and_from_this_machine(examples: Any) -> None:
    service = examples.get("service", "nginx-nodeport")
    port = service["spec"]["ports"][0]["nodePort"]
    for node in examples.get("nodes")["items"]:
        address = node["status"]["addresses"][0]["address"]
        url = f"http://{address}:{port}"
        outside = examples.exec("host/client", "wget", "-q", "-O", "-", url)
        assert "nginx-deploy" in outside.stdout, outside.stderr
        here = subprocess.run(
            ["wget", "-q", "-O", "-", "-T", "60", url], capture_output=True, text=True
        )
        assert "nginx-deploy" in here.stdout, here.stderr


def test_containers_of_a_pod_talk_over_localhost(examples: Any) -> None:
    pod = next(p for p in examples.get("pods")["items"] if len(p["spec"]["containers"]) == 2)
    done = examples.exec(pod["metadata"]["name"], "wget", "-q", "-O", "-", "http://localhost")
    assert done.returncode == 0, done.stderr


def test_service_without_endpoints_refuses_at_once(examples: Any) -> None:
    manifest = """
apiVersion: v1
kind: Service
metadata: {name: empty}
spec:
  selector: {app: nobody}
  ports: [{port: 80}]
"""
    examples.run("apply", "-f", "-", stdin=manifest)
    done = examples.exec("nginx-demo", "wget", "-T", "60", "-t", "1", "-O", "-", "http://empty")
    assert done.returncode != 0
    assert "refused" in done.stderr.lower(), done.stderr


def test_rules_and_overlay_look_like_a_real_node(examples: Any) -> None:
    rules = examples.in_node("node-1", "iptables-save")
    assert "-A KUBE-SERVICES" in rules
    assert re.search(r"-A KUBE-SVC-[A-Z2-7]{16} .*default/nginx-service", rules)
    assert re.search(r"-A KUBE-SEP-[A-Z2-7]{16} .*default/nginx-service", rules)
    link = examples.in_node("node-1", "ip", "-d", "link", "show", "flannel.1")
    assert "mtu 1450" in link and "vxlan id 1" in link and "dstport 8472 nolearning" in link
    assert examples.in_node("node-1", "bridge", "fdb", "show", "dev", "flannel.1").count("dst") == 2
    assert (
        examples.in_node("node-1", "ip", "neigh", "show", "dev", "flannel.1").count("PERMANENT")
        == 2
    )
    assert examples.in_node("node-1", "ip", "route").count("dev flannel.1 onlink") == 2


def test_deleted_pod_is_replaced_and_never_answers(examples: Any) -> None:
    victim = pods_of(examples, "app=nginx-deploy")[0]
    examples.run("delete", "pod", victim["metadata"]["name"], "--grace-period=0", "--force")
    examples.run("wait", "--for=condition=available", "deployment/nginx-deploy", "--timeout=120s")
    script = "for i in $(seq 60); do wget -q -T 60 -O - http://nginx-service || exit 1; done"
    done = examples.exec("nginx-demo", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert victim["status"]["podIP"] not in done.stdout
    examples.until(lambda: len(pods_of(examples, "app=nginx-deploy")) == 3, "it is replaced")


def test_statefulset_pod_returns_under_its_name(examples: Any) -> None:
    before = examples.get("pod", "web-1")
    examples.run("delete", "pod", "web-1", "--grace-period=0", "--force")
    examples.until(lambda: examples.is_replaced(before), "web-1 is back")
    examples.run("wait", "pod/web-1", "--for=condition=Ready", "--timeout=120s")
    after = examples.get("pod", "web-1")
    done = examples.exec("nginx-demo", "nslookup", "web-1.nginx.default.svc.cluster.local")
    assert after["status"]["podIP"] in done.stdout, done.stdout
    if after["status"]["podIP"] != before["status"]["podIP"]:
        assert before["status"]["podIP"] not in done.stdout
