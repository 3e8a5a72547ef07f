from typing import Any

import pytest

from kind_rules import cells, problems, stored
from netemu.api.kinds import (
    CONFIG_MAPS,
    EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
)


def test_a_namespace_is_active_and_labelled() -> None:
    made = stored(NAMESPACES, {})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
    assert cells(NAMESPACES, {})[:2] == ["x", "Active"]


def test_an_update_of_a_namespace_keeps_its_finalizers() -> None:
    old = stored(NAMESPACES, {})
    assert stored(NAMESPACES, {"spec": {}}, old)["spec"] == {"finalizers": ["kubernetes"]}


@pytest.mark.parametrize(
    ("metadata", "field", "message"),
    [
        ({"name": ""}, "metadata.name", "Required value: name or generateName is required"),
        ({"name": "a.b"}, "metadata.name", None),
        (
            {"name": "x", "namespace": "y"},
            "metadata.namespace",
            "Forbidden: not allowed on this type",
        ),
        ({"name": "x", "labels": {"a/b/c": "d"}}, "metadata.labels", None),
        ({"name": "x", "labels": {"a": "b c"}}, "metadata.labels", None),
        (
            {"name": "x", "annotations": {"a": "b" * 262145}},
            "metadata.annotations",
            "Too long: may not be more than 262144 bytes",
        ),
        ({"name": "x", "finalizers": ["a b"]}, "metadata.finalizers", None),
        (
            {"name": "x", "ownerReferences": [{"kind": "Pod", "name": "p", "uid": "u"}]},
            "metadata.ownerReferences.apiVersion",
            'Invalid value: "": version must not be empty',
        ),
    ],
)
def test_metadata(metadata: dict[str, Any], field: str, message: str | None) -> None:
    found = problems(NAMESPACES, {"metadata": metadata})
    assert [text for where, text in found if where == field and message in (None, text)]


def test_metadata_that_may_not_change() -> None:
    old = stored(CONFIG_MAPS, {})
    old["metadata"] |= {"uid": "1", "creationTimestamp": "1970-01-01T00:00:00Z"}
    found = problems(CONFIG_MAPS, {"metadata": {**old["metadata"], "uid": "2"}}, old)
    assert found == [("metadata.uid", 'Invalid value: "2": field is immutable')]
    deleting = {**old, "metadata": {**old["metadata"], "deletionTimestamp": "x"}}
    late = {"metadata": {**deleting["metadata"], "finalizers": ["a.b/c"]}}
    ((field, message),) = problems(CONFIG_MAPS, late, deleting)
    assert field == "metadata.finalizers"
    assert message.endswith('found new finalizers []string{"a.b/c"}')


def test_two_controllers_are_one_too_many() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    metadata = {"name": "x", "namespace": "d", "ownerReferences": [owner, owner]}
    ((field, message),) = problems(CONFIG_MAPS, {"metadata": metadata})
    assert field == "metadata.ownerReferences"
    assert "Only one reference can have Controller set to true." in message


def test_config_maps() -> None:
    assert problems(CONFIG_MAPS, {"data": {"a.conf": "x"}, "binaryData": {"b": "eA=="}}) == []
    (bad,) = problems(CONFIG_MAPS, {"data": {"a b": "x"}})
    assert bad[0] == "data[a b]"
    (both,) = problems(CONFIG_MAPS, {"data": {"a": "x"}, "binaryData": {"a": "eA=="}})
    assert both == ("data[a]", 'Invalid value: "a": duplicate of key present in binaryData')
    assert problems(CONFIG_MAPS, {"data": {"a": "x" * 1048577}}) == [
        ("", "Too long: may not be more than 1048576 bytes")
    ]
    sealed = stored(CONFIG_MAPS, {"data": {"a": "1"}, "immutable": True})
    changed = problems(CONFIG_MAPS, {"data": {"a": "2"}, "immutable": True}, sealed)
    assert changed == [("data", "Forbidden: field is immutable when `immutable` is set")]
    assert cells(CONFIG_MAPS, {"data": {"a": "x"}, "binaryData": {"b": "eA=="}})[1] == 2


def test_secrets() -> None:
    made = stored(SECRETS, {"stringData": {"a": "x"}, "data": {"b": "eQ=="}})
    assert made["data"] == {"a": "eA==", "b": "eQ=="}
    assert made["type"] == "Opaque" and "stringData" not in made
    assert cells(SECRETS, {"data": {"b": "eQ=="}})[1:3] == ["Opaque", 1]
    assert problems(SECRETS, {"type": "kubernetes.io/tls"}) == [
        ("data[tls.crt]", "Required value"),
        ("data[tls.key]", "Required value"),
    ]
    config = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}
    ((field, message),) = problems(SECRETS, config)
    assert field == "data[.dockerconfigjson]" and "<secret contents redacted>" in message
    retyped = problems(SECRETS, {"type": "a"}, stored(SECRETS, {}))
    assert retyped == [("type", 'Invalid value: "a": field is immutable')]


def test_nodes() -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "172.18.0.2"}],
        "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian"},
        "capacity": {"cpu": "2"},
    }
    labels = {"node-role.kubernetes.io/control-plane": ""}
    node = {"metadata": {"name": "n", "labels": labels}, "status": status}
    assert stored(NODES, node)["status"]["allocatable"] == {"cpu": "2"}
    assert cells(NODES, node) == [
        "n",
        "Ready",
        "control-plane",
        "<unknown>",
        "v1.36.0",
        "172.18.0.2",
        "<none>",
        "Debian",
        "<unknown>",
        "<unknown>",
    ]
    assert cells(NODES, {"spec": {"unschedulable": True}})[1] == "Unknown,SchedulingDisabled"
    assert stored(NODES, {"spec": {"podCIDR": "10.244.1.0/24"}})["spec"]["podCIDRs"] == [
        "10.244.1.0/24"
    ]
    old = stored(NODES, {"spec": {"podCIDR": "10.244.1.0/24"}})
    assert problems(NODES, {"spec": {"podCIDR": "10.244.2.0/24"}}, old) == [
        (
            "spec.podCIDRs",
            'Forbidden: node updates may not change podCIDR except from "" to valid',
        )
    ]
    taint = {"key": "a", "effect": "NoSchedule"}
    (twice,) = problems(NODES, {"spec": {"taints": [taint, taint]}})
    assert twice[0] == "spec.taints[1]"


def test_events() -> None:
    event = {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "type": "Normal",
        "reason": "Started",
        "message": "Started container\n",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "1970-01-01T00:00:00Z",
        "lastTimestamp": "1970-01-01T00:01:00Z",
        "count": 2,
    }
    assert problems(EVENTS, event) == []
    assert cells(EVENTS, event, now=90) == [
        "30s",
        "Normal",
        "Started",
        "pod/p",
        "",
        "kubelet, node-1",
        "Started container",
        "90s",
        2,
        "e",
    ]
    assert EVENTS.fields(event)["involvedObject.name"] == "p"
    elsewhere = {**event, "involvedObject": {"namespace": "other"}}
    assert problems(EVENTS, elsewhere) == [
        ("involvedObject.namespace", 'Invalid value: "other": does not match event.namespace')
    ]


def test_volumes_and_claims() -> None:
    volume = {
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/x"},
        }
    }
    assert problems(PERSISTENT_VOLUMES, volume) == []
    assert cells(PERSISTENT_VOLUMES, volume)[1:5] == ["1Gi", "RWO", "Retain", "Pending"]
    assert {field for field, _ in problems(PERSISTENT_VOLUMES, {})} == {
        "spec.accessModes",
        "spec.capacity",
        "spec",
    }
    resources = {"requests": {"storage": "1Gi"}}
    claim = {"spec": {"accessModes": ["ReadWriteMany"], "resources": resources}}
    assert problems(PERSISTENT_VOLUME_CLAIMS, claim) == []
    assert cells(PERSISTENT_VOLUME_CLAIMS, claim)[1:5] == ["Pending", "", "", ""]
    bound = {"spec": {**claim["spec"], "volumeName": "v"}}
    old = stored(PERSISTENT_VOLUME_CLAIMS, claim)
    assert problems(PERSISTENT_VOLUME_CLAIMS, bound, old) == []
    moved = {"spec": {**claim["spec"], "accessModes": ["ReadWriteOnce"]}}
    ((field, _),) = problems(PERSISTENT_VOLUME_CLAIMS, moved, old)
    assert field == "spec"


def test_quotas_and_limits() -> None:
    quota = {"spec": {"hard": {"pods": "5", "limits.cpu": "2"}}}
    assert problems(RESOURCE_QUOTAS, quota) == []
    used = {"status": {"hard": {"pods": "5", "limits.cpu": "2"}, "used": {"pods": "1"}}}
    assert cells(RESOURCE_QUOTAS, used)[2:] == ["pods: 1/5", "limits.cpu: 0/2"]
    (bad,) = problems(RESOURCE_QUOTAS, {"spec": {"hard": {"pods": "-1"}}})
    assert bad[0] == "spec.hard[pods]"
    limit = {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}
    made = stored(LIMIT_RANGES, {"spec": {"limits": [limit]}})["spec"]["limits"][0]
    assert made["default"] == {"cpu": "2"} and made["defaultRequest"] == {"cpu": "2"}
    swapped = {**limit, "max": {"cpu": "1"}, "min": {"cpu": "2"}}
    found = dict(problems(LIMIT_RANGES, {"spec": {"limits": [swapped]}}))
    assert found["spec.limits[0].min[cpu]"] == (
        'Invalid value: "2": min value 2 is greater than max value 1'
    )


def test_service_accounts() -> None:
    assert problems(SERVICE_ACCOUNTS, {}) == []
    assert cells(SERVICE_ACCOUNTS, {"secrets": [{"name": "a"}]})[1] == 1
