"""A client inside a pod: in-cluster configuration, the API through the data plane, and RBAC."""

import sys

import pytest

POD = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: v1
kind: Pod
metadata: {name: robot}
spec:
  serviceAccountName: robot
  containers:
    - name: main
      image: busybox
      command: [sleep, "3600"]
"""
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
    return make_cluster("inc", "--nodes", "2")


def test_the_official_client_in_a_pod(cluster):
    cluster.run("apply", "-f", "-", stdin=POD)
    cluster.run("wait", "pod/robot", "--for=condition=Ready", "--timeout=30s")
    without = cluster.exec("robot", sys.executable, "-c", ASK)
    assert without.stdout.split() == ["403", "403"], without.stderr
    cluster.run("apply", "-f", "-", stdin=ROLE)
    allowed = cluster.exec("robot", sys.executable, "-c", ASK)
    pods, secrets = allowed.stdout.strip().splitlines()
    assert "'robot'" in pods and secrets == "403", allowed.stderr


def test_without_a_token_nothing_is_told(cluster):
    ask = "curl -sk -o /dev/null -w %{http_code} https://kubernetes.default.svc/api/v1/pods"
    assert cluster.exec("robot", "sh", "-c", ask).stdout == "401"
