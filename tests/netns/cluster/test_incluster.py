"""A client inside a pod: in-cluster configuration, the API through the data plane, and RBAC."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netemu.cluster.state import daemon

ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  serviceAccountName: robot
  nodeName: NODE
  containers:
    - name: main
      image: busybox
      command: [sleep, "3600"]
---
"""
PODS = {"robot": "node-1", "robot-2": "node-2"}
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: robot-reads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: robot, namespace: default}]
"""
ASK = """
from kubernetes import client, config
config.load_incluster_config()
api = client.CoreV1Api()
try:
    print(sorted(pod.metadata.name for pod in api.list_namespaced_pod("default").items))
except client.ApiException as error:
    print(error.status)
try:
    api.list_namespaced_secret("default")
except client.ApiException as error:
    print(error.status)
"""


@pytest.fixture(scope="module")
def cluster(make_cluster):
    """Two nodes, and a pod on each."""
    made = make_cluster("inc", "--nodes", "2")
    pods = [POD.replace("NAME", name).replace("NODE", node) for name, node in PODS.items()]
    made.run("apply", "-f", "-", stdin=ACCOUNT + "".join(pods))
    for name in PODS:
        made.run("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")
    return made


def ask(cluster, pod):
    done = cluster.exec(pod, sys.executable, "-c", ASK)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_the_official_client_in_a_pod_of_each_node(cluster):
    cluster.run("delete", "rolebinding", "robot-reads", "--ignore-not-found")
    for pod in PODS:
        assert ask(cluster, pod) == ["403", "403"]
    cluster.run("apply", "-f", "-", stdin=ROLE)
    for pod in PODS:
        assert ask(cluster, pod) == ["['robot', 'robot-2']", "403"]


def test_it_still_works_after_a_crash_of_the_daemon(cluster):
    cluster.run("apply", "-f", "-", stdin=ROLE)
    running = daemon(cluster.name)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    netemu = Path(sys.executable).with_name("netemu")
    up = [str(netemu), "up", "--name", cluster.name]
    done = subprocess.run(up, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for pod in PODS:
        assert ask(cluster, pod) == ["['robot', 'robot-2']", "403"]


def test_the_service_is_what_pods_use(cluster):
    environment = cluster.exec("robot", "sh", "-c", "env").stdout.splitlines()
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1" in environment
    assert "KUBERNETES_SERVICE_PORT=443" in environment
    url = "https://10.96.0.1:443/version"
    ca = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    for pod in PODS:
        done = cluster.exec(pod, "curl", "-s", "--cacert", ca, url)
        assert '"major":"1"' in done.stdout, done.stderr


def test_without_a_token_nothing_is_told(cluster):
    ask = "curl -sk -o /dev/null -w %{http_code} https://kubernetes.default.svc/api/v1/pods"
    assert cluster.exec("robot", "sh", "-c", ask).stdout == "401"


def test_a_pod_token_dies_with_its_pod(cluster):
    cluster.run("apply", "-f", "-", stdin=POD.replace("NAME", "brief").replace("NODE", "node-1"))
    cluster.run("wait", "pod/brief", "--for=condition=Ready", "--timeout=120s")
    path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    token = cluster.exec("brief", "cat", path).stdout
    call = f"curl -sk -o /dev/null -w %{{http_code}} -H 'Authorization: Bearer {token}'"
    call += " https://kubernetes.default.svc/api"
    assert cluster.exec("robot", "sh", "-c", call).stdout == "200"
    cluster.run("delete", "pod", "brief", "--grace-period=0", "--force")
    assert cluster.exec("robot", "sh", "-c", call).stdout == "401"
