from typing import Any

import pytest

from netemu.api import schema
from netemu.api.kinds import (
    ALL,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    PODS,
    SECRETS,
)
from netemu.api.schema.definitions import definitions


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    spec = {"containers": containers, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def test_a_good_object_is_handed_back_as_it_is() -> None:
    obj = pod(terminationGracePeriodSeconds=5, nodeSelector={"a": "b"})
    checked = schema.check(PODS, obj)
    assert checked.ok and checked.clean is obj


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.group}/{kind.kind}")
def test_every_kind_has_a_schema(kind: Any) -> None:
    assert kind.schema in definitions()
    assert schema.of_kind(kind).shape == "struct"
    assert schema.check(kind, {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}}).ok


def test_unknown_fields_are_named_and_left_out() -> None:
    obj = pod(foo=1, hostNetwork=True)
    obj["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "bar": {}}]
    checked = schema.check(PODS, obj)
    assert checked.unknown == ("spec.containers[0].ports[0].bar", "spec.foo")
    assert "foo" not in checked.clean["spec"] and checked.clean["spec"]["hostNetwork"]
    assert checked.clean["spec"]["containers"][0]["ports"] == [{"containerPort": 80}]
    assert obj["spec"]["foo"] == 1
    error = schema.undecodable(PODS, schema.strict_decoding(schema.problems(PODS, checked)))
    assert error.code == 400
    assert error.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field '
        '"spec.containers[0].ports[0].bar", unknown field "spec.foo"'
    )
    assert schema.problems(PODS, checked)[1] == 'unknown field "spec.foo"'


def test_nulls_are_dropped_as_a_real_server_does() -> None:
    obj = pod(nodeName=None)
    obj["metadata"]["creationTimestamp"] = None
    checked = schema.check(PODS, obj)
    assert checked.ok
    assert checked.clean["metadata"] == {"name": "p"}
    assert "nodeName" not in checked.clean["spec"]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            {"hostNetwork": "yes"},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type "
            "bool",
        ),
        (
            {"containers": {}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
            "[]v1.Container",
        ),
        (
            {"activeDeadlineSeconds": 1.5},
            "json: cannot unmarshal number 1.5 into Go struct field "
            "PodSpec.spec.activeDeadlineSeconds of type int64",
        ),
        (
            {"containers": [{"name": 5}]},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of "
            "type string",
        ),
        (
            {"priority": 1 << 40},
            f"json: cannot unmarshal number {1 << 40} into Go struct field PodSpec.spec.priority "
            "of type int32",
        ),
        (
            {"overhead": {"cpu": "x"}},
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            {"nodeSelector": {"a": 1}},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeSelector.a of "
            "type string",
        ),
    ],
)
def test_wrong_types(spec: dict[str, Any], error: str) -> None:
    checked = schema.check(PODS, pod(**spec))
    assert checked.errors == (error,)
    message = schema.undecodable(PODS, checked.errors[0]).message
    assert message == f'Pod in version "v1" cannot be handled as a Pod: {error}'


def test_formats() -> None:
    assert schema.check(SECRETS, {"data": {"a": "AAA="}}).ok
    assert schema.check(SECRETS, {"data": {"a": "!"}}).errors == (
        "illegal base64 data at input byte 0",
    )
    bad = schema.check(CONFIG_MAPS, {"metadata": {"creationTimestamp": "yesterday"}})
    assert bad.errors == (
        'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday"',
    )
    assert schema.check(CONFIG_MAPS, {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}).ok


def test_empty_lists_and_maps_are_dropped_and_empty_structs_kept() -> None:
    obj = pod(tolerations=[], nodeSelector={}, securityContext={})
    obj["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    clean = schema.check(PODS, obj).clean["spec"]
    assert clean == {
        "containers": [{"name": "c", "image": "i"}],
        "securityContext": {},
        "volumes": [{"name": "v", "emptyDir": {}}],
    }


def test_quantities_are_stored_in_their_canonical_form() -> None:
    limits = {"cpu": "1000m", "memory": "1024Mi", "example.com/x": 2}
    obj = pod(containers=[{"name": "c", "resources": {"limits": limits}}])
    checked = schema.check(PODS, obj)
    assert checked.ok
    clean = checked.clean["spec"]["containers"][0]["resources"]["limits"]
    assert clean == {"cpu": "1", "memory": "1Gi", "example.com/x": "2"}
    assert schema.check(PODS, checked.clean).clean is checked.clean


def test_depth_has_a_limit() -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(5000):
        deep = {"type": "object", "properties": {"a": deep}}
    version = {"schema": {"openAPIV3Schema": deep}}
    checked = schema.check(CUSTOM_RESOURCE_DEFINITIONS, {"spec": {"versions": [version]}})
    assert checked.errors == ("exceeded max depth",)


def test_numbers_or_strings() -> None:
    for value in (1, "25%"):
        rolling = {"strategy": {"rollingUpdate": {"maxSurge": value}}}
        assert schema.check(DEPLOYMENTS, {"spec": rolling}).ok
    bad = {"strategy": {"rollingUpdate": {"maxSurge": True}}}
    assert schema.check(DEPLOYMENTS, {"spec": bad}).errors


def test_merge_metadata_reaches_the_nodes() -> None:
    containers = schema.of_kind(PODS).fields["spec"].fields["containers"]
    assert (containers.list_type, containers.keys) == ("map", ("name",))
    assert (containers.merge_key, containers.strategies) == ("name", {"merge"})
    assert schema.of_kind(DEPLOYMENTS).fields["spec"].fields["selector"].atomic


def test_null_in_a_list_is_the_zero_value_as_in_go() -> None:
    pod = {
        "metadata": {"ownerReferences": [None], "finalizers": [None]},
        "spec": {"containers": [None]},
    }
    checked = schema.check(PODS, pod)
    assert not checked.errors
    assert checked.clean["metadata"] == {"ownerReferences": [{}], "finalizers": [""]}
    assert checked.clean["spec"] == {"containers": [{}]}
