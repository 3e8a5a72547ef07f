"""Readiness, claims, namespaces and quotas with real pods: what follows for everybody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SWITCH = """\
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: switch}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "mkdir -p /w && busybox httpd -h /w && touch /tmp/ok && sleep infinity"]
    ports: [{containerPort: 80}]
    readinessProbe:
      exec: {command: [test, -e, /tmp/ok]}
      periodSeconds: 1
      timeoutSeconds: 60
      failureThreshold: 1
    livenessProbe:
      exec: {command: [test, "!", -e, /tmp/sick]}
      periodSeconds: 1
      timeoutSeconds: 60
      failureThreshold: 1
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: switch}
spec: {clusterIP: None, selector: {app: switch}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: switched}
spec: {selector: {app: switch}, ports: [{port: 80}]}
"""
CLAIM = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: POLICY}
provisioner: netemu/host-path
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: POLICY
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: LOWER}
spec:
  storageClassName: POLICY
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"""
USER = """\
apiVersion: v1
kind: Pod
metadata: {name: LOWER}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: busybox, command: [sleep, infinity], volumeMounts: [{name: v, mountPath: /v}]}
  volumes: [{name: v, persistentVolumeClaim: {claimName: LOWER}}]
"""


@pytest.fixture(scope="module")
def things(make_cluster: Callable[..., Any]) -> Any:
    cluster = make_cluster("things", "--nodes", "2")
    pods = "---\n".join(SWITCH.replace("NAME", name) for name in ("one", "two"))
    cluster.run("apply", "-f", "-", stdin=pods + "---\n" + SERVICE)
    return cluster


def resolved(cluster: Any) -> set[str]:
    out = cluster.exec("one", "nslookup", "switch.default.svc.cluster.local").stdout
    return {word for word in out.split() if word.startswith("10.244.")}


def endpoints(cluster: Any) -> tuple[list[str], ...]:
    """Addresses that are ready, and that are not, of the Service with its own address."""
    subsets = cluster.get("endpoints", "switched")["subsets"]
    kinds = ("addresses", "notReadyAddresses")
    return tuple([a["ip"] for each in subsets for a in each.get(kind, ())] for kind in kinds)


def address(cluster: Any, name: str) -> str:
    return str(cluster.get("pod", name)["status"]["podIP"])


def test_an_unready_pod_leaves_endpoints_rules_and_names(things: Any) -> None:
    one, two = address(things, "one"), address(things, "two")
    assert resolved(things) == {one, two}
    things.exec("two", "rm", "/tmp/ok")
    things.run("wait", "pod/two", "--for=condition=Ready=False", "--timeout", "60s")
    things.until(lambda: resolved(things) == {one}, "its name goes")
    things.until(lambda: endpoints(things) == ([one], [two]), "it is not ready in Endpoints")
    things.until(
        lambda: two not in things.run("rules", "node-1", "--service", "switched"),
        "it leaves the rules",
    )
    things.exec("two", "touch", "/tmp/ok")
    things.until(lambda: resolved(things) == {one, two}, "its name is back")
    things.until(
        lambda: two in things.run("rules", "node-1", "--service", "switched"), "and its rules"
    )


def test_a_sick_container_restarts_in_its_network(things: Any) -> None:
    """The same namespace (its inode), the same address, one restart."""
    before = things.get("pod", "one")
    space = Path("/run/netns/things.default.one")
    inode = space.stat().st_ino
    things.exec("one", "touch", "/tmp/sick")

    def restarted() -> bool:
        (status,) = things.get("pod", "one")["status"]["containerStatuses"]
        return bool(status["restartCount"] == 1 and status["ready"])

    things.until(restarted, "it is restarted and ready")
    after = things.get("pod", "one")
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert space.stat().st_ino == inode
    told = "failed liveness probe, will be restarted"
    things.until(lambda: told in things.run("get", "events"), "an event tells")


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_a_claim_waits_for_a_pod_and_its_volume_goes_or_stays(things: Any, policy: str) -> None:
    name = policy.lower()
    manifest = CLAIM.replace("POLICY", policy).replace(f"name: {policy}}}", f"name: {name}}}")
    manifest = manifest.replace(f"storageClassName: {policy}", f"storageClassName: {name}")
    things.run("apply", "--no-wait", "-f", "-", stdin=manifest.replace("LOWER", name))
    waiting = "waiting for first consumer to be created before binding"
    things.until(lambda: waiting in things.run("get", "events"), "it waits")
    assert things.get("pvc", name)["status"]["phase"] == "Pending"
    things.run("apply", "-f", "-", stdin=USER.replace("LOWER", name))
    claim = things.get("pvc", name)
    assert claim["status"]["phase"] == "Bound"
    things.exec(name, "touch", "/v/kept")
    path = Path(things.get("pv", claim["spec"]["volumeName"])["spec"]["hostPath"]["path"])
    assert (path / "kept").exists()
    things.run("delete", "pod", name)
    things.run("delete", "pvc", name)
    volume = claim["spec"]["volumeName"]
    if policy == "Delete":
        things.until(lambda: not path.exists(), "the directory goes")
        things.until(lambda: things.try_run("get", "pv", volume).returncode != 0, "the volume goes")
    else:
        released = lambda: things.get("pv", volume)["status"]["phase"] == "Released"  # noqa: E731
        things.until(released, "the volume is released")
        assert (path / "kept").exists()


QUOTA = """\
apiVersion: v1
kind: Namespace
metadata: {name: small}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: few, namespace: small}
spec: {hard: {pods: "2"}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: usual, namespace: small}
spec: {limits: [{type: Container, defaultRequest: {cpu: 10m}, default: {cpu: 20m}}]}
"""


def test_a_namespace_bounds_its_pods_and_takes_them_along(things: Any) -> None:
    things.run("apply", "--no-wait", "-f", "-", stdin=QUOTA)
    things.run("create", "deployment", "app", "--image", "pause", "--replicas", "3", "-n", "small")
    ready = ("get", "deployment", "app", "-n", "small", "-o", "jsonpath={.status.readyReplicas}")
    things.until(lambda: things.run(*ready) == "2", "as many as the quota allows")
    things.until(lambda: "exceeded quota: few" in things.run("get", "events", "-n", "small"), "why")
    pod = things.get("pods", "-n", "small")["items"][0]
    wanted = {"requests": {"cpu": "10m"}, "limits": {"cpu": "20m"}}
    assert pod["spec"]["containers"][0]["resources"] == wanted
    things.run("delete", "namespace", "small", "--wait=false")
    gone = lambda: things.try_run("get", "namespace", "small").returncode != 0  # noqa: E731
    things.until(gone, "the namespace goes")
    assert not [entry for entry in Path("/run/netns").iterdir() if ".small." in entry.name]


CONTROLLER = """\
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec:
  replicas: 2
  selector: {app: old}
  template:
    metadata: {labels: {app: old}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: busybox, command: [sleep, infinity]}]
      volumes:
      - name: own
        ephemeral:
          volumeClaimTemplate:
            spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""


def test_a_replication_controller_replaces_releases_and_adopts(things: Any) -> None:
    """A pod that is relabelled is let go and replaced; its own label back, one is too many."""
    things.run("apply", "-f", "-", stdin=CONTROLLER)
    first = things.ready_pods(app="old")[0]["metadata"]["name"]
    assert things.get("pvc", f"{first}-own")["status"]["phase"] == "Bound"
    things.run("label", "pod", first, "app=free", "--overwrite")
    things.until(lambda: len(things.ready_pods(app="old")) == 2, "it is replaced")
    things.until(
        lambda: not things.get("pod", first)["metadata"].get("ownerReferences"), "it is let go"
    )
    things.run("label", "pod", first, "app=old", "--overwrite")
    things.until(lambda: len(things.pods(app="old")) == 2, "one of the three goes")
    things.run("delete", "replicationcontroller", "old")
    things.until(lambda: not things.get("pods", "-l", "app=old")["items"], "all go with it")
    things.until(lambda: "-own" not in things.run("get", "pvc"), "and their claims")
