from __future__ import annotations

from typing import Any

import pytest

from netemu.node.images import Port, Program, StandIn
from netemu.node.kubelet.containerspec import (
    PodContext,
    process_spec,
    resource_limits,
    rights,
    runs_as_root_although_forbidden,
    standin_spec,
)
from netemu.node.kubelet.probeports import probed_ports, resolve_port
from netemu.node.kubelet.states import states_of


def pod(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web-0", "namespace": "default", "uid": "u1"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", **container}], **spec}}


def test_a_process_gets_its_words_environment_and_log() -> None:
    obj = pod({"workingDir": "/srv", "tty": True})
    state = states_of(obj)["c"]
    state.id = "id1"
    program = Program(argv=("run", "$(A)", "{pod}"), env={"A": "image", "B": "image"})
    context = PodContext(node="n", log_directory="/logs")
    spec = process_spec(obj, state, program, {"A": "own"}, [], context)
    assert spec["argv"] == ["run", "own", "web-0"]
    assert spec["env"] == {"HOSTNAME": "web-0", "A": "own", "B": "image"}
    assert (spec["cwd"], spec["log"], spec["tty"]) == ("/srv", "/logs/c/0.log", True)


@pytest.mark.parametrize(
    ("of_pod", "own", "expected"),
    [
        ({}, {}, {}),
        (
            {"runAsUser": 5, "fsGroup": 7, "supplementalGroups": [9]},
            {},
            {"user": 5, "groups": [9, 7]},
        ),
        ({"runAsUser": 5}, {"runAsUser": 6, "runAsGroup": 8}, {"user": 6, "group": 8}),
        ({}, {"privileged": True}, {"privileged": True}),
        ({}, {"readOnlyRootFilesystem": True}, {"readonly": True}),
        ({}, {"allowPrivilegeEscalation": False}, {"no_new_privs": True}),
        (
            {},
            {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
            {"cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"]},
        ),
    ],
)
def test_rights(of_pod: dict[str, Any], own: dict[str, Any], expected: dict[str, Any]) -> None:
    obj = pod({"securityContext": own}, securityContext=of_pod)
    found = rights(obj, obj["spec"]["containers"][0])
    assert {key: value for key, value in found.items() if key != "sysctls"} == expected


def test_kernel_parameters_are_the_pods_own() -> None:
    context = {"runAsUser": 5, "sysctls": [{"name": "net.core.somaxconn", "value": "9"}]}
    obj = pod({}, securityContext=context)
    expected = {"net.core.somaxconn": "9", "net.ipv4.ip_unprivileged_port_start": "0"}
    assert rights(obj, obj["spec"]["containers"][0])["sysctls"] == expected
    obj["spec"]["hostNetwork"] = True
    assert "sysctls" not in rights(obj, obj["spec"]["containers"][0])


def test_limits_are_those_that_the_machine_can_hold() -> None:
    container = {"resources": {"limits": {"memory": "64Mi", "cpu": "1500m"}}}
    assert resource_limits(container, ("memory", "cpu")) == {"memory": 64 << 20, "cpu": 1500}
    assert resource_limits(container, ("pids",)) == {}


@pytest.mark.parametrize(
    ("of_pod", "own", "refused"),
    [
        ({}, {}, False),
        ({"runAsNonRoot": True}, {}, True),
        ({"runAsNonRoot": True}, {"runAsUser": 1000}, False),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, False),
        ({}, {"runAsNonRoot": True, "runAsUser": 0}, True),
    ],
)
def test_run_as_non_root(of_pod: dict[str, Any], own: dict[str, Any], refused: bool) -> None:
    obj = pod({"securityContext": own}, securityContext=of_pod)
    assert runs_as_root_although_forbidden(obj, obj["spec"]["containers"][0]) is refused


def test_ports_of_probes_may_be_names() -> None:
    container = {
        "ports": [{"name": "http", "containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": "http"}},
        "readinessProbe": {"tcpSocket": {"port": 81}},
        "startupProbe": {"httpGet": {"port": 82, "host": "elsewhere"}},
    }
    assert probed_ports(container) == [81, 80]
    assert resolve_port(container, "none") is None


def test_agnhost_porter_is_told_by_its_environment() -> None:
    obj = pod({"image": "agnhost"})
    standin = StandIn(program="porter", ports=(Port(port=80), Port(port=443)))
    told = {"SERVE_PORT_80": "a", "SERVE_TLS_PORT_443": "b", "OTHER": "c"}
    context = PodContext(node="n", log_directory="/logs")
    spec = standin_spec(obj, states_of(obj)["c"], standin, told, context)
    assert spec["identity"]["env"] == {"SERVE_PORT_80": "a", "SERVE_TLS_PORT_443": "b"}
    assert [entry.get("tls") for entry in spec["ports"]] == [None, True]
    assert "BEGIN CERTIFICATE" in spec["tls"] and "PRIVATE KEY" in spec["tls"]
    del told["SERVE_TLS_PORT_443"]
    assert "tls" not in standin_spec(obj, states_of(obj)["c"], standin, told, context)
