"""`netemu describe`. The pages were compared with those of kubectl 1.33 for the same objects."""

from collections.abc import Callable
from typing import Any

import pytest

from netemu.api import meta
from netemu.api.kinds import (
    ENDPOINT_SLICES,
    EVENTS,
    NETWORK_POLICIES,
    NODES,
    PODS,
    SERVICES,
)
from netemu.cli.describe.generic import title
from netemu.cli.describe.page import Page, selector_text
from netemu.cli.describe.pod import write_pod
from netemu.cli.describe.podtemplate import probe_text
from netemu.cli.describe.service import endpoints_text

Run = Callable[..., Any]

STARTED = "2026-11-20T08:00:00Z"


@pytest.fixture
def pod(cluster: Any, space: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TZ", "UTC")
    container = {
        "name": "c",
        "image": "nginx:1.7.9",
        "command": ["sh", "-c", "a\nb"],
        "ports": [{"containerPort": 80}, {"containerPort": 443}],
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "100m", "memory": "32Mi"}},
        "readinessProbe": {"httpGet": {"path": "/x", "port": 80}, "periodSeconds": 5},
        "env": [
            {"name": "A", "value": "b"},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
        ],
        "volumeMounts": [{"name": "e", "mountPath": "/e", "readOnly": True}],
    }
    spec = {
        "nodeName": "n1",
        "containers": [container],
        "volumes": [{"name": "e", "emptyDir": {}}],
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "x", "operator": "Exists", "effect": "NoSchedule"}],
    }
    metadata = {"name": "web", "namespace": space, "labels": {"b": "2", "a": "1"}}
    made = cluster.create(PODS, {"metadata": metadata, "spec": spec})
    ended = {"exitCode": 137, "reason": "Error", "startedAt": STARTED, "finishedAt": STARTED}
    status = {
        "phase": "Running",
        "hostIP": "172.30.0.2",
        "podIP": "10.244.0.2",
        "startTime": STARTED,
        "podIPs": [{"ip": "10.244.0.2"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "c",
                "image": "nginx:1.7.9",
                "imageID": "sha",
                "ready": True,
                "containerID": "netemu://abc",
                "restartCount": 2,
                "state": {"running": {"startedAt": STARTED}},
                "lastState": {"terminated": ended},
            }
        ],
    }
    cluster.set_status(PODS, "web", status, space)
    cluster.create(
        EVENTS,
        {
            "metadata": {"name": "web.1", "namespace": space},
            "involvedObject": {
                "kind": "Pod",
                "name": "web",
                "namespace": space,
                "uid": made["metadata"]["uid"],
            },
            "type": "Normal",
            "reason": "Started",
            "message": "Started container c\n",
            "source": {"component": "kubelet"},
            "firstTimestamp": STARTED,
            "lastTimestamp": STARTED,
            "count": 1,
        },
    )
    return space


def test_pod(netemu: Run, cluster: Any, pod: str) -> None:
    """What the admission adds (service account, its volume, tolerations) is left out here."""
    live = meta.copy(cluster.get(PODS, "web", pod))
    for field in ("priority", "serviceAccountName", "serviceAccount"):
        live["spec"].pop(field, None)
    live["spec"]["volumes"] = [v for v in live["spec"]["volumes"] if v["name"] == "e"]
    live["spec"]["tolerations"] = [t for t in live["spec"]["tolerations"] if t["key"] == "x"]
    (container,) = live["spec"]["containers"]
    container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] == "e"]
    page = Page()
    write_pod(page, live)
    assert (
        page.text()
        == f"""\
Name:         web
Namespace:    {pod}
Node:         n1/172.30.0.2
Start Time:   Fri, 20 Nov 2026 08:00:00 +0000
Labels:       a=1
              b=2
Annotations:  <none>
Status:       Running
IP:           10.244.0.2
IPs:
  IP:  10.244.0.2
Containers:
  c:
    Container ID:  netemu://abc
    Image:         nginx:1.7.9
    Image ID:      sha
    Ports:         80/TCP, 443/TCP
    Host Ports:    0/TCP, 0/TCP
    Command:
      sh
      -c
      a
      b
    State:          Running
      Started:      Fri, 20 Nov 2026 08:00:00 +0000
    Last State:     Terminated
      Reason:       Error
      Exit Code:    137
      Started:      Fri, 20 Nov 2026 08:00:00 +0000
      Finished:     Fri, 20 Nov 2026 08:00:00 +0000
    Ready:          True
    Restart Count:  2
    Limits:
      cpu:  1
    Requests:
      cpu:      100m
      memory:   32Mi
    Readiness:  http-get http://:80/x delay=0s timeout=1s period=5s #success=1 #failure=3
    Environment:
      A:  b
      N:  web (v1:metadata.name)
      K:  <set to the key 'k' of config map 'cm'>  Optional: false
    Mounts:
      /e from e (ro)
Conditions:
  Type    Status
  Ready   True 
Volumes:
  e:
    Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:      
    SizeLimit:   <unset>
QoS Class:       Burstable
Node-Selectors:  zone=a
Tolerations:     x:NoSchedule op=Exists
"""
    )
    lines = netemu("describe", "pod", "web", "-n", pod).out.partition("Events:\n")[2].splitlines()
    assert lines[0].split() == ["Type", "Reason", "Age", "From", "Message"]
    assert lines[2].split()[:2] == ["Normal", "Started"]
    assert lines[2].endswith("kubelet  Started container c")


def test_events_may_be_left_out(netemu: Run, pod: str) -> None:
    assert "Events:" not in netemu("describe", "pod", "web", "-n", pod, "--hide-events").out


def test_names_may_be_cut_short(netemu: Run, pod: str) -> None:
    first = netemu("describe", "pod", "we", "-n", pod).out.splitlines()[0]
    assert first.split() == ["Name:", "web"]
    done = netemu("describe", "pod", "nope", "-n", pod)
    assert done.code == 1
    assert done.err == 'Error from server (NotFound): pods "nope" not found\n'


def test_service(netemu: Run, cluster: Any, space: str) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "nodePort": 31111}]
    spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": ports}
    cluster.create(SERVICES, {"metadata": {"name": "web", "namespace": space}, "spec": spec})
    metadata = {
        "name": "web-1",
        "namespace": space,
        "labels": {"kubernetes.io/service-name": "web"},
    }
    endpoints = [{"addresses": [f"10.244.0.{i}"]} for i in range(2, 6)]
    endpoints.append({"addresses": ["10.244.0.9"], "conditions": {"ready": False}})
    cluster.create(
        ENDPOINT_SLICES,
        {
            "metadata": metadata,
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080}],
        },
    )
    out = netemu("describe", "svc", "web", "-n", space).out
    lines = [line.split() for line in out.splitlines()]
    assert ["Selector:", "app=web"] in lines
    assert ["Port:", "http", "80/TCP"] in lines
    assert ["TargetPort:", "web/TCP"] in lines
    assert ["NodePort:", "http", "31111/TCP"] in lines
    shown = ["Endpoints:", "10.244.0.2:8080,10.244.0.3:8080,10.244.0.4:8080", "+", "1", "more..."]
    assert shown in lines
    assert ["Session", "Affinity:", "None"] in lines


def test_node(netemu: Run, cluster: Any) -> None:
    taints = [{"key": "b", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]
    labels = {"node-role.kubernetes.io/control-plane": ""}
    metadata = {"name": "described", "labels": labels}
    cluster.create(NODES, {"metadata": metadata, "spec": {"taints": taints}})
    status = {
        "capacity": {"cpu": "2", "memory": "1Gi"},
        "addresses": [{"type": "InternalIP", "address": "172.30.0.2"}],
    }
    cluster.set_status(NODES, "described", status, "")
    out = netemu("describe", "node", "described").out
    assert "Roles:              control-plane\n" in out
    assert "Taints:             a:NoExecute\n                    b:NoSchedule\n" in out
    assert "  InternalIP:  172.30.0.2\n" in out
    assert "(0 in total)" in out
    assert "  cpu                0 (0%)    0 (0%)\n" in out


def test_every_example_can_be_described(netemu: Run, space: str) -> None:
    from pathlib import Path

    examples = Path(__file__).parents[4] / "examples"
    netemu("create", "namespace", "other")
    for path in sorted(examples.glob("*.yaml")):
        if path.name != "cluster.yaml":
            assert netemu("apply", "-f", str(path), "--no-wait").code == 0, path
            done = netemu("describe", "-f", str(path))
            assert done.code == 0, done.err
            assert done.out.startswith("Name:")
            netemu("delete", "-f", str(path), "--no-wait", "--force", "--grace-period=0")


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("podCIDR", "Pod CIDR"),
        ("apiVersion", "API Version"),
        ("spec", "Spec"),
        ("uid", "UID"),
        ("a.b/c", "a.b/c"),
        ("maxUnavailable", "Max Unavailable"),
    ],
)
def test_titles(field: str, shown: str) -> None:
    assert title(field) == shown


def test_selectors() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["y", "x"]},
        {"key": "b", "operator": "Exists"},
        {"key": "c", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": expressions}
    assert selector_text(selector) == "app=web,a in (x,y),b,!c"
    assert selector_text({}) == "<none>"


@pytest.mark.parametrize(
    ("probe", "shown"),
    [
        ({"exec": {"command": ["cat", "/x"]}}, "exec [cat /x] "),
        ({"tcpSocket": {"port": 80}}, "tcp-socket :80 "),
        ({"grpc": {"port": 9000, "service": "s"}}, "grpc <pod>:9000 s "),
        ({"httpGet": {"port": "web", "scheme": "HTTPS", "path": "/"}}, "http-get https://:web/ "),
    ],
)
def test_probes(probe: dict[str, Any], shown: str) -> None:
    assert probe_text(probe).startswith(shown)


def test_long_annotations_stand_below_their_key() -> None:
    page = Page()
    page.annotations("Annotations", {"b": "x" * 200, "a": "one\ntwo\n", "c": "d"})
    assert page.text() == (
        "Annotations:  a:\n"
        "                one\n"
        "                two\n"
        "              b:\n"
        f"                {'x' * 138}...\n"
        "              c: d\n"
    )


def test_endpoints_of_another_port_are_not_shown() -> None:
    each = {"ports": [{"name": "a", "port": 1}], "endpoints": [{"addresses": ["::1"]}]}
    assert endpoints_text([each], "a") == "[::1]:1"
    assert endpoints_text([each], "b") == ""
    assert endpoints_text([], "a") == "<none>"


def test_network_policy(netemu: Run, cluster: Any, space: str) -> None:
    """Printed alike by kubectl 1.33."""
    peers = [
        {"podSelector": {"matchLabels": {"a": "b"}}},
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"c": "d"}}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}},
    ]
    ports = [{"port": 80}, {"port": "dns", "protocol": "UDP"}]
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": peers, "ports": ports}, {}],
    }
    metadata = {"name": "full", "namespace": space}
    cluster.create(NETWORK_POLICIES, {"metadata": metadata, "spec": spec})
    out = netemu("describe", "netpol", "full", "-n", space).out
    assert (
        out[out.index("Spec:") :]
        == """\
Spec:
  PodSelector:     <none> (Allowing the specific traffic to all pods in this namespace)
  Allowing ingress traffic:
    To Port: 80/TCP
    To Port: dns/UDP
    From:
      PodSelector: a=b
    From:
      NamespaceSelector: <none>
      PodSelector: c=d
    From:
      IPBlock:
        CIDR: 10.0.0.0/8
        Except: 10.1.0.0/16, 10.2.0.0/16
    ----------
    To Port: <any> (traffic allowed to all ports)
    From: <any> (traffic not restricted by source)
  Not affecting egress traffic
  Policy Types: Ingress
"""
    )
