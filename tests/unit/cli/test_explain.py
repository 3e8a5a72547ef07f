"""`netemu explain` over the objects of a real API server, with the real compilers and tracer."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from netemu.api.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES
from netemu.cli.explaining import world as world_module
from netemu.cli.explaining.describe import deciding
from netemu.cli.explaining.parties import split_port
from netemu.cli.failures import CommandFailed
from netemu.cli.machines import Machine
from netemu.config import ClusterConfig, NodeConfig, ProxyConfig
from netemu.netstate.trace import Step

Run = Callable[..., Any]

MACHINES = [
    Machine(name="n1", role="node", netns="/run/netns/t.n1", addresses=("172.30.0.2",)),
    Machine(name="n2", role="node", netns="/run/netns/t.n2", addresses=("172.30.0.3",)),
    Machine(name="client", role="host", netns="/run/netns/t.client", addresses=("172.30.0.9",)),
]


@pytest.fixture(scope="module")
def world(cluster: Any) -> None:
    """Two nodes, two pods, a Service over one of them, one without endpoints."""
    for number, node in ((1, "n1"), (2, "n2")):
        cluster.create(
            NODES,
            {
                "metadata": {"name": node},
                "spec": {"podCIDR": f"10.244.{number}.0/24", "podCIDRs": [f"10.244.{number}.0/24"]},
            },
        )
        address = {"type": "InternalIP", "address": f"172.30.0.{number + 1}"}
        cluster.set_status(NODES, node, {"addresses": [address]}, "")
    for name, node, address in (("client", "n1", "10.244.1.5"), ("web-0", "n2", "10.244.2.5")):
        containers = [{"name": "c", "image": "nginx", "ports": [{"containerPort": 8080}]}]
        spec = {"nodeName": node, "containers": containers}
        cluster.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        cluster.set_status(PODS, name, status)
    for name, port in (("web", 30080), ("empty", 0)):
        ports = [{"port": 80, "targetPort": 8080} | ({"nodePort": port} if port else {})]
        kind = "NodePort" if port else "ClusterIP"
        spec = {"type": kind, "selector": {"app": name}, "ports": ports}
        cluster.create(SERVICES, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    headless = {"clusterIP": "None", "ports": [{"port": 80}]}
    metadata = {"name": "headless", "namespace": "default"}
    cluster.create(SERVICES, {"metadata": metadata, "spec": headless})
    endpoint = {"addresses": ["10.244.2.5"], "nodeName": "n2", "conditions": {"ready": True}}
    metadata = {
        "name": "web-1",
        "namespace": "default",
        "labels": {"kubernetes.io/service-name": "web"},
    }
    cluster.create(
        ENDPOINT_SLICES,
        {
            "metadata": metadata,
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"port": 8080}],
        },
    )


@pytest.fixture(params=["iptables", "nftables", "flat", "ipvs"])
def explain(
    request: pytest.FixtureRequest, netemu: Run, world: None, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """The command in each proxy mode; machines and settings come from the daemon's files."""
    nodes = tuple(NodeConfig(name=name) for name in ("n1", "n2"))
    config = ClusterConfig(name="test", nodes=nodes, proxy=ProxyConfig(mode=request.param))
    monkeypatch.setattr(world_module.World, "config", config)
    monkeypatch.setattr("netemu.cli.machines.machines", lambda cluster: MACHINES)
    return lambda *words: netemu("explain", *words)


def outcomes(done: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.out)["outcomes"]
    return found


def test_a_service_leads_to_its_pod(explain: Run) -> None:
    done = explain("client", "web", "-o", "json")
    assert done.code == 0, done.err
    (outcome,) = outcomes(done)
    assert (outcome["address"], outcome["port"]) == ("10.244.2.5", 8080)
    assert outcome["translated"] and not outcome["masqueraded"]
    assert outcome["place"] == "pod default/web-0 on n2"


@pytest.mark.parametrize(
    "name", ["svc/web", "web.default", "web.default.svc.cluster.local", "web:80"]
)
def test_words_for_a_service(explain: Run, name: str) -> None:
    assert outcomes(explain("default/client", name, "-o", "json"))[0]["address"] == "10.244.2.5"


def test_a_service_without_endpoints_is_refused(explain: Run) -> None:
    done = explain("client", "empty")
    assert done.code == 1
    assert "REJECTED: the sender is told at once (connection refused)" in done.out


def test_a_node_port_from_outside_is_masqueraded(explain: Run) -> None:
    done = explain("host/client", "node/n1:30080")
    assert done.code == 0, done.out + done.err
    assert "destination becomes 10.244.2.5:8080: pod default/web-0 on n2" in done.out
    assert "over flannel.1 to n2 (172.30.0.3)" in done.out
    assert "source becomes n1's own address (masqueraded)" in done.out


def test_an_outside_host_has_no_way_to_a_cluster_address(explain: Run) -> None:
    done = explain("host/client", "web")
    assert done.code == 1
    assert "is outside the cluster and has no route to" in done.out


def test_a_pod_is_reached_without_rules(explain: Run) -> None:
    done = explain("client", "web-0")
    assert done.code == 0
    assert "destination stays 10.244.2.5:8080" in done.out
    assert "no rule is about it" in done.out


def test_a_port_that_the_service_lacks(explain: Run) -> None:
    done = explain("client", "web:81", "-o", "json")
    assert done.code == 1
    assert json.loads(done.out)["obstacle"] == "Service default/web has no port 81"


def test_what_needs_no_rules_says_so(explain: Run) -> None:
    assert "is headless" in explain("client", "headless").err
    assert (
        '"nobody" is no Service, pod, node/NAME, host/NAME or address'
        in explain("client", "nobody").err
    )
    assert explain("client", "web:x").code == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("web", 0)),
        ("web:80", ("web", 80)),
        ("[::1]:80", ("::1", 80)),
        ("::1", ("::1", 0)),
        ("10.0.0.1:53", ("10.0.0.1", 53)),
    ],
)
def test_ports(text: str, parts: tuple[str, int]) -> None:
    assert split_port(text) == parts


def test_wrong_ports() -> None:
    with pytest.raises(CommandFailed):
        split_port("web:99999")


def test_only_deciding_rules_are_kept() -> None:
    steps = [
        Step("nat PREROUTING", "-j KUBE-SERVICES", "jump KUBE-SERVICES"),
        Step("nat KUBE-SERVICES", "-j KUBE-SVC-A", "jump KUBE-SVC-A"),
        Step("nat KUBE-SVC-A", "-j DNAT", "dnat 1.2.3.4:80"),
        Step("filter FORWARD", "-j KUBE-FORWARD", "jump KUBE-FORWARD"),
        Step("nat POSTROUTING", "-j KUBE-POSTROUTING", "jump KUBE-POSTROUTING"),
        Step("nat KUBE-POSTROUTING", "-j RETURN", "return"),
    ]
    assert deciding(steps) == steps[:3]
