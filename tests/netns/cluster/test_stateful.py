"""StatefulSets with real pods: their order, their names, and data that outlives the cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

MANIFEST = """\
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: c
        image: busybox
        command: [sh, -c, "hostname >> /data/names; exec sleep infinity"]
        lifecycle: {preStop: {sleep: {seconds: 1}}}
        readinessProbe: {exec: {command: ["true"]}, initialDelaySeconds: 1, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
WATCH = "/api/v1/namespaces/default/pods?watch=true&labelSelector=app%3Ddb"


@pytest.fixture(scope="module")
def empty(make_cluster: Callable[..., Any]) -> Any:
    return make_cluster("store", "--nodes", "2")


@pytest.fixture
def store(empty: Any) -> Any:
    """The cluster with all three pods."""
    empty.run("apply", "-f", "-", stdin=MANIFEST)
    empty.until(lambda: len(empty.ready_pods(app="db")) == 3, "all are ready")
    return empty


def names_in(cluster: Any, pod: str) -> str:
    """What has been written to the pod's volume: its name, once a start."""
    return str(cluster.exec(pod, "cat", "/data/names").stdout)


def story(seen: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """What became of the pods, in order: (name, created | ready | stopping | gone), each once."""
    told: dict[tuple[str, str], None] = {}
    for kind, pod in seen:
        name, conditions = pod["metadata"]["name"], pod["status"].get("conditions") or ()
        told[name, "created"] = None
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            told[name, "ready"] = None
        if "deletionTimestamp" in pod["metadata"]:
            told[name, "stopping"] = None
        if kind == "DELETED":
            told[name, "gone"] = None
    return list(told)


def test_each_start_waits_for_the_pod_before_it(empty: Any) -> None:
    empty.run("delete", "statefulset", "db", "--ignore-not-found")
    empty.until(lambda: not empty.get("pods", "-l", "app=db")["items"], "none is left")
    with empty.watching(WATCH) as seen:
        empty.run("apply", "-f", "-", stdin=MANIFEST)
        empty.until(lambda: ("db-2", "ready") in story(seen), "all are ready")
    names = ("db-0", "db-1", "db-2")
    assert story(seen) == [(name, step) for name in names for step in ("created", "ready")]


def test_a_pod_keeps_its_name_and_its_data(store: Any) -> None:
    before, names = store.get("pod", "db-1"), names_in(store, "db-1")
    store.run("delete", "pod", "db-1")
    store.until(lambda: store.is_replaced(before), "db-1 is back")
    store.run("wait", "pod/db-1", "--for=condition=Ready")
    assert names.endswith("db-1\n") and names_in(store, "db-1") == f"{names}db-1\n"
    address = store.get("pod", "db-1")["status"]["podIP"]
    found = store.exec("db-0", "nslookup", "db-1.db.default.svc.cluster.local")
    assert address in found.stdout


def test_data_outlives_the_cluster(store: Any) -> None:
    names = names_in(store, "db-2")
    store.run("down", "--keep-data")
    store.run("up")
    store.until(lambda: len(store.ready_pods(app="db")) == 3, "all are ready again")
    assert names.endswith("db-2\n") and names_in(store, "db-2") == f"{names}db-2\n"


def test_each_stop_waits_for_the_pod_after_it(store: Any) -> None:
    """From the last to the first, although each takes its time to end."""
    with store.watching(WATCH) as seen:
        store.until(lambda: ("db-2", "ready") in story(seen), "the watch has begun")
        store.run("scale", "statefulset/db", "--replicas", "0")
        store.until(lambda: ("db-0", "gone") in story(seen), "all are gone")
    ends = [entry for entry in story(seen) if entry[1] in ("stopping", "gone")]
    names = ("db-2", "db-1", "db-0")
    assert ends == [(name, step) for name in names for step in ("stopping", "gone")]
    claims = store.get("pvc")["items"]
    assert sorted(claim["metadata"]["name"] for claim in claims) == [
        f"data-db-{number}" for number in range(3)
    ]
    assert {claim["status"]["phase"] for claim in claims} == {"Bound"}, json.dumps(claims)
