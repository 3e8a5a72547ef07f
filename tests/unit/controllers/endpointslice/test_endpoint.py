"""From a pod to an endpoint, by table."""

from __future__ import annotations

import pytest

from netemu.controllers.endpointslice.endpoint import belongs, desired_endpoint, families_of
from netemu.controllers.endpointslice.ports import desired_ports


def pod(ready="True", *, deleting=False, ips=("10.1.0.2",), phase="Running", **spec):
    meta = {"name": "p", "namespace": "default", "uid": "u"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": meta,
        "spec": {"nodeName": "n", "containers": [], **spec},
        "status": {
            "phase": phase,
            "podIP": ips[0] if ips else "",
            "podIPs": [{"ip": ip} for ip in ips],
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def service(**spec):
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


@pytest.mark.parametrize(
    ("given", "publish", "expected"),
    [
        (pod(), False, (True, True, False)),
        (pod("False"), False, (False, False, False)),
        (pod(deleting=True), False, (False, True, True)),
        (pod("False", deleting=True), False, (False, False, True)),
        (pod("False"), True, (True, False, False)),
        (pod(deleting=True), True, (True, True, True)),
    ],
)
def test_conditions(given, publish, expected):
    found = desired_endpoint(service(publishNotReadyAddresses=publish), given, None, "IPv4")
    conditions = found["conditions"]
    assert (conditions["ready"], conditions["serving"], conditions["terminating"]) == expected


def test_families():
    both = pod(ips=("10.1.0.2", "fd00::2"))
    assert desired_endpoint(service(), both, None, "IPv6")["addresses"] == ["fd00::2"]
    assert desired_endpoint(service(), pod(), None, "IPv6") is None
    assert families_of(service(ipFamilies=["IPv6", "IPv4"])) == ("IPv6", "IPv4")
    assert families_of(service(clusterIP="fd00::1")) == ("IPv6",)


def test_hostname_only_for_its_own_service():
    named = pod(hostname="web-0", subdomain="web")
    assert desired_endpoint(service(), named, None, "IPv4")["hostname"] == "web-0"
    other = pod(hostname="web-0", subdomain="other")
    assert "hostname" not in desired_endpoint(service(), other, None, "IPv4")


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (None, None),
        ("PreferClose", {"forZones": [{"name": "z"}]}),
        ("PreferSameZone", {"forZones": [{"name": "z"}]}),
        ("PreferSameNode", {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}),
    ],
)
def test_hints(distribution, expected):
    wanted = service(trafficDistribution=distribution)
    assert desired_endpoint(wanted, pod(), "z", "IPv4").get("hints") == expected
    assert "hints" not in desired_endpoint(wanted, pod("False"), "z", "IPv4")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod(), True),
        (pod(ips=()), False),
        (pod(phase="Succeeded"), False),
        (pod(phase="Failed"), False),  # evicted
        (pod("False"), True),
    ],
)
def test_belongs(given, expected):
    assert belongs(given) == expected


def test_named_ports_are_looked_up_in_each_pod():
    containers = [{"ports": [{"name": "http", "containerPort": 8080}]}]
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 15001}]}
    given = pod(containers=containers, initContainers=[sidecar])
    ports = [
        {"name": "a", "port": 80, "targetPort": "http"},
        {"name": "b", "port": 81, "targetPort": 9090, "appProtocol": "h2c"},
        {"name": "c", "port": 82, "targetPort": "absent"},
        {"name": "d", "port": 83, "targetPort": "mesh"},
        {"name": "e", "port": 84, "targetPort": "http", "protocol": "UDP"},
        {"name": "f", "port": 85},
    ]
    found = {port["name"]: port["port"] for port in desired_ports(service(ports=ports), given)}
    assert found == {"a": 8080, "b": 9090, "d": 15001, "f": 85}
