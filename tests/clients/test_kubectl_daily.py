"""More of what people do every day, with the oldest and the newest kubectl on this machine."""

import json
import re
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubectls import ENDS

pytestmark = pytest.mark.parametrize("kubectl", ENDS or [None], indirect=True)
LABELS = {"app": "web"}
WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {json.dumps(LABELS)}}}
  template:
    metadata: {{labels: {json.dumps(LABELS)}}}
    spec: {{containers: [{{name: main, image: nginx}}]}}
"""
BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: MIN, selector: {matchLabels: {app: web}}}
"""


@pytest.fixture
def web(kubectl):
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def budget(kubectl, least):
    kubectl("apply", "-f", "-", stdin=BUDGET.replace("MIN", str(least)))


def test_drain_waits_for_the_budget(kubectl, web):
    budget(kubectl, 2)
    drain = ("drain", "node-1", "--ignore-daemonsets", "--force", "--pod-selector=app=web")
    process = kubectl.start(*drain, "--timeout=80s")
    try:
        lines = iter(process.stdout.readline, "")
        refused = "Cannot evict pod as it would violate the pod's disruption budget"
        assert any(refused in line for line in lines)
        pods = set(kubectl("get", "pods", "-o", "name").split())
        assert len(pods) == 2
        budget(kubectl, 0)
        assert set(re.findall(r"(pod/web-\S+) evicted", process.stdout.read())) >= pods
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        kubectl("uncordon", "node-1")


def test_wait_for_a_value(kubectl, web):
    if kubectl.minor < 23:
        pytest.skip("this kubectl cannot")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s")
    done = kubectl.run(
        "wait", "deployment/web", "--for=jsonpath={.spec.replicas}=9", "--timeout=1s", code=1
    )
    assert "timed out" in done.stderr


def test_what_one_may_do(kubectl):
    everything = kubectl("auth", "can-i", "--list")
    assert everything.splitlines()[0].split()[0] == "Resources" and "*.*" in everything
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    account = f"{kubectl.namespace}:robot"
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={account}")
    as_robot = f"--as=system:serviceaccount:{account}"
    listed = kubectl("auth", "can-i", "--list", as_robot)
    assert any(line.split()[0] == "pods" and "get" in line for line in listed.splitlines())
    assert kubectl("auth", "can-i", "get", "pods", "--subresource=log", as_robot) == "yes\n"
    assert kubectl("auth", "can-i", "delete", "pods", as_robot, code=1) == "no\n"
    assert kubectl("get", "pods", as_robot, "-o", "name") == ""
    assert "Forbidden" in kubectl.run("get", "secrets", as_robot, code=1).stderr


def test_api_resources_in_all_forms(kubectl):
    wide = kubectl("api-resources", "-o", "wide").splitlines()
    assert any(line.startswith("deployments ") and "deploy" in line for line in wide)
    assert "pods" in kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    assert "deployments.apps" in kubectl("api-resources", "--api-group=apps", "-o", "name").split()


def test_explain_to_the_bottom(kubectl):
    shown = kubectl("explain", "pods", "--recursive")
    assert "matchExpressions" in shown and "topologyKey" in shown
    for path in ("service.spec.ports.nodePort", "ingress.spec.rules", "cronjob.spec.schedule"):
        assert "DESCRIPTION" in kubectl("explain", path)
    assert "does not exist" in kubectl.run("explain", "pod.nothing", code=1).stderr


def test_raw_requests(kubectl, web):
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods?limit=1"
    found = json.loads(kubectl("get", "--raw", path))
    assert len(found["items"]) == 1 and found["metadata"]["remainingItemCount"] == 1
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "check passed" in kubectl("get", "--raw", "/livez?verbose")
    assert kubectl("get", "--raw", "/api/v1/nodes/node-1/proxy/healthz") == "ok"
    assert "NotFound" in kubectl.run("get", "--raw", "/api/v1/nothing", code=1).stderr


def test_events(kubectl, web):
    def listed() -> str:
        return kubectl("get", "events", "--sort-by=.lastTimestamp")

    kubectl.until(lambda: {"SuccessfulCreate", "ScalingReplicaSet"} <= set(listed().split()))
    chosen = ("--field-selector", "involvedObject.kind=Deployment")
    assert "SuccessfulCreate" not in kubectl("get", "events", *chosen)
    if kubectl.minor >= 26:
        assert "ScalingReplicaSet" in kubectl("events", "--for=deployment/web")


def test_autoscale_is_described(kubectl, web):
    kubectl("autoscale", "deployment", "web", "--min=1", "--max=4", "--cpu-percent=50")
    shown = kubectl("get", "hpa", "web").splitlines()
    assert "Deployment/web" in shown[1] and "4" in shown[1].split()
    assert "Max replicas:" in kubectl("describe", "hpa", "web")


def test_proxy(kubectl, web):
    """`kubectl proxy`: the API for programs that know nothing of certificates."""
    process = kubectl.start("proxy", "--port=0")
    try:
        port = process.stdout.readline().split(":")[-1].strip()
        base = f"http://127.0.0.1:{port}"

        def fetch(path: str) -> str:
            with urllib.request.urlopen(base + path, timeout=60) as answer:
                return answer.read().decode()

        assert json.loads(fetch("/version"))["major"] == "1"
        assert fetch("/api/v1/nodes/node-1/proxy/healthz") == "ok"
        path = f"/apis/apps/v1/namespaces/{kubectl.namespace}/deployments/web"
        with ThreadPoolExecutor(8) as pool:
            names = [json.loads(each)["metadata"]["name"] for each in pool.map(fetch, [path] * 32)]
        assert set(names) == {"web"}
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_watch_shows_each_change(kubectl):
    kubectl("create", "configmap", "seen", "--from-literal=n=0")
    process = kubectl.start("get", "configmap", "seen", "-w", "-o", "jsonpath={.data.n}{'\\n'}")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    try:
        assert process.stdout.readline() == "0\n"
        reader.start()
        for number in (1, 2, 3):
            patch = json.dumps({"data": {"n": str(number)}})
            kubectl("patch", "configmap", "seen", "--type=merge", "-p", patch)
        kubectl.until(lambda: len(lines) >= 3)
    finally:
        process.terminate()
        process.wait()
        reader.join(60)
        process.stdout.close()
    assert lines[:3] == ["1\n", "2\n", "3\n"]
