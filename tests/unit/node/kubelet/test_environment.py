"""Environment variables: references, fields, Services."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from netemu.node.kubelet.environment import (
    MissingReference,
    PodFacts,
    compile_environment,
    expand,
    references,
    service_variables,
)

FACTS = PodFacts(pod_ips=("10.244.1.2", "fd00::2"), host_ips=("172.30.0.2",))


def pod(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "shop", "labels": {"app": "web"}, "uid": "u1"}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def compiled(container: dict[str, Any], lookup: Any = None, services: Any = ()) -> dict[str, str]:
    return compile_environment(pod(container), container, FACTS, services, lookup or {})


def service(name: str, ip: str, *ports: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"metadata": metadata, "spec": {"clusterIP": ip, "ports": list(ports)}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$$(A)", "$(A)"),
        ("$(MISSING)", "$(MISSING)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$$$$", "$$"),
    ],
)
def test_references_are_replaced_as_kubernetes_does(text: str, value: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == value


def test_variables_see_those_before_them() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C"}]
    assert compiled({"name": "c", "env": env}) == {"A": "1", "B": "1$(C)", "C": ""}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'app="web"'),
        ("spec.nodeName", ""),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.244.1.2"),
        ("status.podIPs", "10.244.1.2,fd00::2"),
        ("status.hostIP", "172.30.0.2"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    env = [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert compiled({"name": "c", "env": env}) == {"F": value}


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"resource": "limits.cpu"}, "1"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "500"),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "requests.memory"}, "0"),
    ],
)
def test_resources_are_rounded_up_in_units_of_the_divisor(
    reference: dict[str, str], value: str
) -> None:
    env = [{"name": "R", "valueFrom": {"resourceFieldRef": reference}}]
    limits = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    assert compiled({"name": "c", "env": env, "resources": limits}) == {"R": value}


def test_config_maps_and_secrets() -> None:
    container = {
        "name": "c",
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}],
        "env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}}],
    }
    assert references(container) == [("ConfigMap", "cm"), ("Secret", "s")]
    secret = {"data": {"pw": base64.b64encode(b"x y").decode()}}
    lookup = {("ConfigMap", "cm"): {"data": {"a": "1"}}, ("Secret", "s"): secret}
    assert compiled(container, lookup) == {"P_a": "1", "S": "x y"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "cm"}}]}, 'configmap "cm" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no"}}}]},
            "couldn't find key no in Secret shop/s",
        ),
    ],
)
def test_what_is_missing_is_named(container: dict[str, Any], message: str) -> None:
    with pytest.raises(MissingReference, match=message):
        compiled({"name": "c", **container}, {("Secret", "s"): {"data": {}}})


def test_what_is_missing_may_be_optional() -> None:
    reference = {"name": "s", "key": "no", "optional": True}
    container = {
        "name": "c",
        "envFrom": [{"configMapRef": {"name": "cm", "optional": True}}],
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": reference}}],
    }
    assert compiled(container) == {}


def test_service_variables_are_dockers_and_kubernetes() -> None:
    found = service("my-db", "10.96.3.4", {"name": "sql", "port": 5432, "protocol": "TCP"})
    assert service_variables([found], "shop") == {
        "MY_DB_SERVICE_HOST": "10.96.3.4",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL": "5432",
        "MY_DB_PORT": "tcp://10.96.3.4:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.3.4:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.3.4",
    }


def test_only_the_own_namespace_and_the_api_are_offered() -> None:
    services = [
        service("api", "10.96.0.9", {"port": 80}, namespace="other"),
        service("none", "None", {"port": 80}),
        service("kubernetes", "10.96.0.1", {"port": 443}, namespace="default"),
    ]
    hosts = {n for n in service_variables(services, "shop") if n.endswith("_SERVICE_HOST")}
    assert hosts == {"KUBERNETES_SERVICE_HOST"}
    mine = [*services, service("mine", "10.96.0.8", {"port": 80})]
    some = service_variables(mine, "shop", all_of_namespace=False)
    assert not any(name.startswith("MINE_") for name in some)


def test_own_variables_win_over_service_variables() -> None:
    found = service("db", "10.96.3.4", {"port": 1})
    env = [{"name": "DB_SERVICE_HOST", "value": "me"}, {"name": "X", "value": "$(DB_SERVICE_PORT)"}]
    result = compiled({"name": "c", "env": env}, services=[found])
    assert (result["DB_SERVICE_HOST"], result["X"]) == ("me", "1")
