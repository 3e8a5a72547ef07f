"""What people do with kubectl, with every kubectl on this machine, unmodified."""

import json
import socket
import threading

import pytest
import yaml

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "nginx:1", ports: [{containerPort: 80, name: http}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


@pytest.fixture
def web(kubectl):
    """The Deployment and Service above, rolled out; the name of one pod."""
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return kubectl("get", "pods", "-o", "name").split()[0]


def test_version_and_discovery(kubectl):
    assert "v1." in kubectl("version")
    assert "deployments" in kubectl("api-resources")
    assert "apps/v1" in kubectl("api-versions").split()


def test_apply_twice_and_change(kubectl):
    first = kubectl("apply", "-f", "-", stdin=WEB)
    assert first == "deployment.apps/web created\nservice/web created\n"
    again = kubectl("apply", "-f", "-", stdin=WEB)
    assert again == "deployment.apps/web unchanged\nservice/web unchanged\n"
    changed = WEB.replace("nginx:1", "nginx:2")
    assert "web configured" in kubectl("apply", "-f", "-", stdin=changed)
    assert '"nginx:2"' in kubectl("get", "deploy", "web", "-o", "json")


def test_apply_server_side(kubectl):
    for _ in range(2):
        done = kubectl("apply", "--server-side", "-f", "-", stdin=WEB)
        assert done.count("serverside-applied") == 2
    other = WEB.replace("replicas: 2", "replicas: 5")
    done = kubectl.run(
        "apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other, code=1
    )
    assert "conflict" in done.stderr and ".spec.replicas" in done.stderr
    forced = ("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-")
    kubectl(*forced, stdin=other)
    path = f"/apis/apps/v1/namespaces/{kubectl.namespace}/deployments/web"
    shown = json.loads(kubectl("get", "--raw", path))
    managers = {entry["manager"] for entry in shown["metadata"]["managedFields"]}
    assert {"kubectl", "other"} <= managers and shown["spec"]["replicas"] == 5


def test_diff_and_dry_run(kubectl):
    kubectl("apply", "-f", "-", stdin=WEB)
    assert kubectl("diff", "-f", "-", stdin=WEB) == ""
    changed = WEB.replace("nginx:1", "nginx:2")
    assert "+      - image: nginx:2" in kubectl("diff", "-f", "-", stdin=changed, code=1)
    assert "dry run" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)
    assert "nginx:2" not in kubectl("get", "deploy", "web", "-o", "yaml")


def test_all_output_forms(kubectl, web):
    assert kubectl("get", "pods").splitlines()[0].split()[:3] == ["NAME", "READY", "STATUS"]
    assert "NODE" in kubectl("get", "pods", "-o", "wide").splitlines()[0]
    assert web.startswith("pod/web-")
    assert json.loads(kubectl("get", "pods", "-o", "json"))["kind"] == "List"
    assert len(yaml.safe_load(kubectl("get", "pods", "-o", "yaml"))["items"]) == 2
    assert kubectl("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].port}") == "80"
    assert kubectl("get", "pods", "-o", "custom-columns=X:.metadata.name").startswith("X\n")
    assert "2/2" in kubectl("get", "all")
    assert len(kubectl("get", "pods", "-l", "app=web", "--no-headers").splitlines()) == 2
    assert "app=web" in kubectl("get", "pods", "--show-labels")
    assert kubectl("get", "pods", "--field-selector", "status.phase=Failed") == ""
    assert "not found" in kubectl.run("get", "pod", "none", code=1).stderr
    assert "kube-system" in kubectl("get", "ns")


def test_watch(kubectl):
    process = kubectl.start("get", "configmaps", "--watch", "--no-headers")
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(process.stdout), daemon=True)
    reader.start()
    kubectl("create", "configmap", "seen", "--from-literal=a=b")
    kubectl.until(lambda: any("seen" in line for line in seen))
    process.terminate()
    process.wait()
    reader.join()
    process.stdout.close()


def test_describe(kubectl, web):
    shown = kubectl("describe", web)
    assert "Status:" in shown and "Scheduled" in shown
    assert "Endpoints:" in kubectl("describe", "service", "web")
    assert "NewReplicaSet:" in kubectl("describe", "deployment", "web")
    assert "node-1" in kubectl("describe", "node", "node-1")


def test_create_commands(kubectl):
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "deployment", "d", "--image=x")
    kubectl("create", "job", "j", "--image=x")
    kubectl("create", "serviceaccount", "sa")
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "rb", "--role=r", f"--serviceaccount={kubectl.namespace}:sa")
    kubectl("create", "quota", "q", "--hard=pods=10")
    kubectl("create", "-f", "-", stdin=WEB)
    assert "AlreadyExists" in kubectl.run("create", "-f", "-", stdin=WEB, code=1).stderr
    kubectl("run", "alone", "--image=x", "--port=80")
    kubectl("expose", "pod", "alone", "--port=80")
    kubectl("autoscale", "deployment", "d", "--max=3")
    secret = kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}")
    assert secret == "Yg=="


def test_edits(kubectl, web):
    kubectl("label", "deployment", "web", "tier=front")
    kubectl("annotate", "deployment", "web", "note=yes")
    kubectl("set", "image", "deployment/web", "main=nginx:3")
    kubectl("set", "env", "deployment/web", "A=1")
    for kind, patch in (
        (
            "strategic",
            '{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"n:4"}]}}}}',
        ),
        ("merge", '{"spec":{"paused":false}}'),
        ("json", '[{"op":"add","path":"/metadata/labels/x","value":"y"}]'),
    ):
        kubectl("patch", "deployment", "web", "--type", kind, "-p", patch)
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    # Its controller would write between our reading and our replacing: that is a conflict.
    ending = ("get", "deploy", "web", "-o", "jsonpath={.status.terminatingReplicas}")
    kubectl.until(lambda: kubectl(*ending) in ("", "0"))
    shown = json.loads(kubectl("get", "deploy", "web", "-o", "json"))
    container = shown["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "n:4" and container["env"] == [{"name": "A", "value": "1"}]
    assert shown["metadata"]["labels"] == {"app": "web", "tier": "front", "x": "y"}
    shown["metadata"]["labels"]["x"] = "replaced"
    kubectl("replace", "-f", "-", stdin=json.dumps(shown))
    shown["metadata"]["resourceVersion"] = "1"
    assert "Conflict" in kubectl.run("replace", "-f", "-", stdin=json.dumps(shown), code=1).stderr


def test_scale_and_rollouts(kubectl, web):
    kubectl("scale", "deployment", "web", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}") == "3"
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert "2" in kubectl("rollout", "history", "deployment/web").splitlines()[-2]
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=60s")


def test_delete(kubectl, web):
    kubectl("delete", web, "--timeout=60s")
    kubectl("delete", "-f", "-", stdin=WEB)
    if kubectl.minor >= 23:  # older ones fail when it has gone already
        kubectl("wait", web, "--for=delete", "--timeout=60s")
    kubectl("delete", "pods", "--all", "--timeout=60s")


def test_logs(kubectl, web):
    assert kubectl("logs", web).splitlines() == [f"line {n}" for n in range(5)]
    assert kubectl("logs", web, "--tail=1") == "line 4\n"
    assert kubectl("logs", web, "--timestamps").startswith("2026-")
    assert kubectl("logs", web, "-f").splitlines()[-1] == "line 7"
    assert "not found" in kubectl.run("logs", web, "--previous", code=1).stderr
    assert "not valid" in kubectl.run("logs", web, "-c", "none", code=1).stderr


def test_exec(kubectl, web):
    assert kubectl("exec", web, "--", "echo", "hello") == "hello\n"
    done = kubectl.run("exec", web, "--", "sh", "-c", "echo oops >&2; exit 7", code=7)
    assert "oops" in done.stderr
    assert kubectl("exec", "-i", web, "--", "wc", "-c", stdin="x" * 200_000).strip() == "200000"
    assert len(kubectl("exec", web, "--", "sh", "-c", "yes | head -c 3000000")) == 3_000_000
    assert "attached" in kubectl("attach", "-i", web, stdin="x")


def test_cp(kubectl, web, tmp_path):
    data = b"".join(bytes((n % 256,)) for n in range(100_000))
    (tmp_path / "there").write_bytes(data)
    target = kubectl.cluster / f"copied-{kubectl.namespace}"
    name = web.removeprefix("pod/")
    kubectl("cp", str(tmp_path / "there"), f"{name}:{target}")
    assert target.read_bytes() == data
    kubectl("cp", f"{name}:{target}", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data


@pytest.fixture
def echo():
    """The port of a TCP server that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(65536):
                        connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_port_forward(kubectl, web, echo):
    process = kubectl.start("port-forward", web, f":{echo}")
    port = int(process.stdout.readline().split(":")[1].split()[0])
    try:
        for size in (1, 500_000):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(b"z" * size)
                received = 0
                while received < size:
                    received += len(connection.recv(65536))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_cordon_and_drain(kubectl, web):
    try:
        kubectl("cordon", "node-1")
        assert "SchedulingDisabled" in kubectl("get", "node", "node-1")
        drained = kubectl("drain", "node-1", "--force", "--ignore-daemonsets", "--timeout=60s")
        assert f"{web} evicted" in drained
    finally:
        kubectl("uncordon", "node-1")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("taint", "nodes", "node-1", "a=b:PreferNoSchedule")
    kubectl("taint", "nodes", "node-1", "a-")


def test_explain(kubectl):
    assert "containers" in kubectl("explain", "pod.spec")
    assert "replicas" in kubectl("explain", "deployment", "--recursive")


def test_auth(kubectl):
    assert kubectl("auth", "can-i", "get", "pods") == "yes\n"
    assert kubectl("auth", "can-i", "get", "pods", "--as=nobody", code=1) == "no\n"
    kubectl("create", "serviceaccount", "robot")
    if kubectl.minor >= 24:
        assert kubectl("create", "token", "robot").strip().count(".") == 2
    if kubectl.minor >= 28:
        assert "kubernetes-admin" in kubectl("auth", "whoami")


def test_strict_validation_names_the_field(kubectl):
    wrong = WEB.replace("replicas: 2", "replicas: 2\n  replicass: 3")
    done = kubectl.run("apply", "-f", "-", stdin=wrong, code=1)
    assert "replicass" in done.stderr
    wrong = WEB.replace('image: "nginx:1"', "image: 7")
    assert "image" in kubectl.run("apply", "-f", "-", stdin=wrong, code=1).stderr


def test_proxy_and_raw(kubectl):
    assert kubectl("get", "--raw", "/healthz") == "ok"
    assert json.loads(kubectl("get", "--raw", "/api/v1"))["groupVersion"] == "v1"


THINGS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: PLURAL, kind: KIND}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {size: {type: integer, maximum: 9, description: How large it is.}}
      additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
"""
THING = """
apiVersion: example.com/v1
kind: KIND
metadata: {name: one}
spec: {size: 3}
"""


def test_custom_resources(kubectl):
    kind = f"Thing{kubectl.minor}"  # definitions are for all namespaces

    def mine(text):
        return text.replace("KIND", kind).replace("PLURAL", f"{kind.lower()}s")

    kubectl("apply", "-f", "-", stdin=mine(THINGS))
    crd = f"crd/{kind.lower()}s.example.com"
    try:
        kubectl("wait", crd, "--for=condition=Established", "--timeout=60s")
        kubectl("apply", "-f", "-", stdin=mine(THING))
        shown = kubectl("get", f"{kind.lower()}s").splitlines()
        assert shown[0].split() == ["NAME", "SIZE"] and shown[1].split() == ["one", "3"]
        assert "How large it is." in kubectl("explain", f"{kind.lower()}.spec.size")
        wrong = mine(THING).replace("size: 3", "size: 10")
        assert "spec.size" in kubectl.run("apply", "-f", "-", stdin=wrong, code=1).stderr
        kubectl("patch", kind.lower(), "one", "--type=merge", "-p", '{"spec":{"size":4}}')
        assert kubectl("get", kind.lower(), "one", "-o", "jsonpath={.spec.size}") == "4"
    finally:
        kubectl("delete", crd, "--timeout=60s")
