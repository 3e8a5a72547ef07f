"""The proxy subresource on a real cluster: pods, Services, nodes and the kubelet's pages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from netemu.config import ClusterConfig

pytestmark = pytest.mark.netns

MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  nodeName: node-2
  volumes: [{{name: results, emptyDir: {{}}}}]
  initContainers:
    - name: writer
      image: busybox
      command: [sh, -c, echo written > /results/page]
      volumeMounts: [{{name: results, mountPath: /results}}]
  containers:
    - name: main
      image: nginx
      ports: [{{containerPort: 80, name: http}}]
    - name: socket
      image: busybox
      command: [{sys.executable}, -c, "import sys; exec(sys.argv[1])"]
      args:
        - |
          from aiohttp import web
          async def echo(request):
              socket = web.WebSocketResponse()
              await socket.prepare(request)
              async for message in socket:
                  await socket.send_str(message.data.upper())
              return socket
          app = web.Application()
          app.router.add_get("/ws", echo)
          web.run_app(app, port=8000, print=None)
      readinessProbe: {{tcpSocket: {{port: 8000}}}}
    - name: porter
      image: registry.k8s.io/e2e-test-images/agnhost:2.40
      args: [porter]
      env:
        - {{name: SERVE_PORT_1080, value: '<a href="/rewriteme">test</a>'}}
        - {{name: SERVE_TLS_PORT_1443, value: 'tls baz'}}
    - name: netexec
      image: registry.k8s.io/e2e-test-images/agnhost:2.57
      args: [netexec, --http-port, "8090", --udp-port, "-1"]
    - name: files
      image: registry.k8s.io/e2e-test-images/agnhost:2.57
      args: [test-webserver, --port=8070]
      volumeMounts: [{{name: results, mountPath: /results}}]
      readinessProbe: {{httpGet: {{path: /, port: 8070}}}}
    - name: private
      image: busybox
      command: [httpd, -f, -p, "127.0.0.1:9000"]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  selector: {{app: web}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"""


@pytest.fixture(scope="module")
def cluster(make_cluster: Callable[..., Any]) -> Any:
    made = make_cluster("prx", "--nodes", "2")
    made.run("apply", "-f", "-", stdin=MANIFEST)
    made.run("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    return made


@pytest.fixture
def ask(cluster: Any) -> Callable[..., tuple[int, str]]:
    socket = str(ClusterConfig(name=cluster.name).api_socket)

    def get(path: str) -> tuple[int, str]:
        done = subprocess.run(
            ["curl", "-sg", "--unix-socket", socket, "-w", "\n%{http_code}", f"http://x{path}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        text, _, code = done.stdout.rpartition("\n")
        return int(code), text

    return get


PODS, SERVICES = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services"


def test_pods_and_services(ask: Any) -> None:
    for path in (f"{PODS}/web", f"{PODS}/web:80", f"{PODS}/web:http", f"{SERVICES}/web:http"):
        code, text = ask(f"{path}/proxy/")
        assert code == 200 and "web" in text, (path, text)
    code, text = ask(f"{PODS}/web:9000/proxy/")
    assert code == 503 and "connection refused" in text, "it listens on its loopback only"


def test_links_of_a_page_lead_back(ask: Any) -> None:
    """What upstream's suite expects of agnhost's porter, whose port nobody declares."""
    path = f"{PODS}/web:1080/proxy"
    assert ask(f"{path}/") == (200, f'<a href="{path}/rewriteme">test</a>')


def test_a_backend_with_tls(ask: Any) -> None:
    assert ask(f"{PODS}/https:web:1443/proxy/") == (200, "tls baz")
    assert ask(f"{PODS}/web:1443/proxy/")[0] == 503


def test_programs_of_agnhost(cluster: Any, ask: Any) -> None:
    """A flag's value in a word of its own; asking from a pod; a volume's file; commands."""
    assert ask(f"{PODS}/web:8090/proxy/hostname") == (200, "web")
    address = cluster.get("pod", "web")["status"]["podIP"]
    dial = f"dial?request=clientip&host={address}&port=8090"
    code, text = ask(f"{PODS}/web:8090/proxy/{dial}")
    assert code == 200 and f'"{address}:' in text, "it asks from the pod's own network"
    assert ask(f"{PODS}/web:8070/proxy/results/page") == (200, "written\n")
    for command, told in (
        ("dns-server-list", "10.96.0.10\n"),
        ("dns-suffix", "default.svc.cluster.local,svc.cluster.local,cluster.local\n"),
    ):
        assert cluster.run("exec", "web", "-c", "netexec", "--", "/agnhost", command) == told


async def test_a_websocket_through_the_api(cluster: Any) -> None:
    connector = aiohttp.UnixConnector(str(ClusterConfig(name=cluster.name).api_socket))
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"http://x{PODS}/web:8000/proxy/ws") as socket,
    ):
        await socket.send_str("hello")
        assert await socket.receive_str() == "HELLO"


NODE = "/api/v1/nodes/node-2/proxy"


def test_the_kubelet_tells_of_its_pods(ask: Any) -> None:
    assert ask(f"{NODE}/healthz") == (200, "ok")
    assert ask("/api/v1/nodes/node-2:10250/proxy/healthz") == (200, "ok")
    pods = json.loads(ask(f"{NODE}/pods")[1])
    web = next(pod for pod in pods["items"] if pod["metadata"]["name"] == "web")
    assert web["status"]["phase"] == "Running"
    running = json.loads(ask(f"{NODE}/runningpods/")[1])["items"]
    assert "web" in [pod["metadata"]["name"] for pod in running]
    config = json.loads(ask(f"{NODE}/configz")[1])["kubeletconfig"]
    assert config["clusterDNS"] == ["10.96.0.10"]
    assert 'kubelet_node_name{node="node-2"} 1' in ask(f"{NODE}/metrics")[1]
    assert ask(f"{NODE}/nothing")[0] == 404
    ask(f"{PODS}/web/proxy/hello")
    code, log = ask(f"{NODE}/containerLogs/default/web/main")
    assert code == 200 and "GET /hello HTTP/1.1" in log
    assert ask("/api/v1/nodes/node-1/proxy/containerLogs/default/web/main")[0] == 404


def test_the_kubelet_counts_what_pods_send(cluster: Any, ask: Any) -> None:
    def received() -> int:
        pods = json.loads(ask(f"{NODE}/stats/summary")[1])["pods"]
        return next(p["network"]["rxBytes"] for p in pods if p["podRef"]["name"] == "web")

    before = received()
    cluster.run("ping", "node/node-1", "web", "-c", "3", "-i", "0.05")
    assert received() - before >= 3 * 84
    assert (
        'container_network_receive_bytes_total{interface="eth0",namespace="default",'
        in (ask(f"{NODE}/metrics/cadvisor")[1])
    )
    resources = ask(f"{NODE}/metrics/resource")[1]
    assert 'container_memory_working_set_bytes{container="main",namespace="default",' in resources


def test_logs_of_a_node(ask: Any) -> None:
    assert "default_web_" in ask(f"{NODE}/logs/pods/")[1]
    uid = json.loads(ask(f"{PODS}/web")[1])["metadata"]["uid"]
    ask(f"{PODS}/web/proxy/")
    code, text = ask(f"{NODE}/logs/pods/default_web_{uid}/main/0.log")
    assert code == 200 and "GET /" in text
    assert ask(f"{NODE}/logs/pods/../../../../etc/passwd")[0] == 404


def test_another_port_of_a_node(ask: Any) -> None:
    code, text = ask("/api/v1/nodes/node-2:10256/proxy/healthz")
    assert code == 200 and json.loads(text)["nodeEligible"]
    code, text = ask("/api/v1/nodes/node-2:9/proxy/")
    assert code == 503 and json.loads(text)["reason"] == "ServiceUnavailable"
