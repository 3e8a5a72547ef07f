from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import crd, managedfields, meta, schema, strategic, table, versions
from netemu.api.kind import Kind
from netemu.api.kinds import CUSTOM_RESOURCE_DEFINITIONS
from netemu.api.objectrules import validate
from netemu.errors import ApiError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["cronSpec"],
            "properties": {
                "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(\s+(\d+|\*)){4}$"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "port": {"x-kubernetes-int-or-string": True},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "tags": {
                    "type": "array",
                    "maxItems": 2,
                    "items": {"type": "string", "maxLength": 3},
                    "x-kubernetes-list-type": "set",
                },
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "size": {"type": "integer", "default": 7},
                        },
                    },
                },
                "maybe": {"type": "string", "nullable": True},
            },
        },
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    },
}


def definition(**version: Any) -> dict[str, Any]:
    first = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.n"},
        },
        "additionalPrinterColumns": [
            {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        **version,
    }
    names = {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]}
    spec = {"group": "a.example", "scope": "Namespaced", "names": names, "versions": [first]}
    made = {"metadata": {"name": "crontabs.a.example"}, "spec": spec}
    CUSTOM_RESOURCE_DEFINITIONS.default(made)
    CUSTOM_RESOURCE_DEFINITIONS.prepare(made, None)
    return meta.copy(made)


@pytest.fixture
def kind() -> Kind:
    return crd.kind_of(definition())


def custom(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "a.example/v1",
        "kind": "CronTab",
        "metadata": {"name": "c", "namespace": "d", "creationTimestamp": "1970-01-01T00:00:00Z"},
        "spec": {"cronSpec": "* * * * *", **spec},
    }


def problems(kind: Kind, obj: dict[str, Any]) -> dict[str, str]:
    return {cause.field: cause.message for cause in validate(kind, obj)}


def test_what_the_definition_says(kind: Kind) -> None:
    assert kind.path("d", "c") == "/apis/a.example/v1/namespaces/d/crontabs/c"
    assert kind.short_names == ("ct",) and kind.singular == "crontab"
    assert kind.subresources == {"status", "scale"}
    assert kind.scale is not None and kind.scale.status_replicas == "status.n"


def test_a_definition_is_established_at_once() -> None:
    made = definition()
    assert validate(CUSTOM_RESOURCE_DEFINITIONS, made) == []
    assert made["status"]["storedVersions"] == ["v1"]
    assert made["status"]["acceptedNames"]["listKind"] == "CronTabList"
    conditions = {item["type"]: item["status"] for item in made["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "x"}}, "metadata.name"),
        ({"group": "x"}, "spec.group"),
        ({"scope": "Galaxy"}, "spec.scope"),
        ({"versions": []}, "spec.versions"),
        ({"schema": None}, "spec.versions[0].schema.openAPIV3Schema"),
        (
            {"schema": {"openAPIV3Schema": {"type": "string"}}},
            "spec.versions[0].schema.openAPIV3Schema.type",
        ),
        (
            {"schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}}},
            "spec.versions[0].schema.openAPIV3Schema.properties[a].type",
        ),
        (
            {"additionalPrinterColumns": [{"name": "x", "type": "string", "jsonPath": "a b["}]},
            "spec.versions[0].additionalPrinterColumns[0].jsonPath",
        ),
        (
            {
                "subresources": {
                    "scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.n"}
                }
            },
            "spec.versions[0].subresources.scale.specReplicasPath",
        ),
    ],
)
def test_bad_definitions(change: dict[str, Any], field: str) -> None:
    made = definition()
    for key, value in change.items():
        if key == "metadata":
            made["metadata"] = value
        elif key in made["spec"]:
            made["spec"][key] = value
        else:
            made["spec"]["versions"][0][key] = value
    assert field in problems(CUSTOM_RESOURCE_DEFINITIONS, made)


def test_pruning_and_defaults(kind: Kind) -> None:
    obj = custom(foo=1, any={"x": {"y": 1}}, parts=[{"name": "p", "z": 1}])
    checked = schema.check(kind, obj)
    assert checked.unknown == ("spec.foo", "spec.parts[0].z")
    made = meta.copy(checked.clean)
    kind.default(made)
    assert made["spec"] == {
        "cronSpec": "* * * * *",
        "any": {"x": {"y": 1}},
        "parts": [{"name": "p", "size": 7}],
        "replicas": 1,
    }
    assert validate(kind, made) == []


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"cronSpec": "*"}, "spec.cronSpec", r"should match '^(\d+|\*)(\s+(\d+|\*)){4}$'"),
        (
            {"cronSpec": 5},
            "spec.cronSpec",
            'Invalid value: "integer": spec.cronSpec in body must be of type string: "integer"',
        ),
        ({"replicas": 11}, "spec.replicas", "should be less than or equal to 10"),
        ({"replicas": 0}, "spec.replicas", "should be greater than or equal to 1"),
        ({"mode": "c"}, "spec.mode", 'Unsupported value: "c": supported values: "a", "b"'),
        ({"tags": ["a", "a"]}, "spec.tags[1]", 'Duplicate value: "a"'),
        ({"tags": ["a", "b", "c"]}, "spec.tags", "Too many: 3: must have at most 2 items"),
        ({"tags": ["long"]}, "spec.tags[0]", "Too long: may not be more than 3 bytes"),
        (
            {"parts": [{"name": "p"}, {"name": "p"}]},
            "spec.parts[1]",
            'Duplicate value: {"name":"p"}',
        ),
        ({"port": True}, "spec.port", 'must be of type integer,string: "boolean"'),
    ],
)
def test_rules(kind: Kind, spec: dict[str, Any], field: str, message: str) -> None:
    checked = schema.check(kind, custom(**spec))
    assert checked.errors == ()  # a custom resource's types are a matter of validation: 422
    assert problems(kind, checked.clean)[field].endswith(message)


def test_required_and_nullable(kind: Kind) -> None:
    assert problems(kind, {**custom(), "spec": {}}) == {"spec.cronSpec": "Required value"}
    clean = schema.check(kind, custom(maybe=None, mode=None)).clean["spec"]
    assert clean["maybe"] is None and "mode" not in clean
    assert validate(kind, custom(maybe=None)) == []


def test_combinations() -> None:
    one = {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    spec = {**one, "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    root = {"type": "object", "properties": {"spec": spec}}
    kind = crd.kind_of(definition(schema={"openAPIV3Schema": root}))
    obj = {**custom(), "spec": {"a": "x"}}
    assert validate(kind, obj) == []
    obj["spec"]["b"] = "y"
    assert "Found 2 valid alternatives" in problems(kind, obj)["spec"]


def test_columns(kind: Kind) -> None:
    rendered = table.render(kind, [custom(replicas=3)], now=90)
    assert [column["name"] for column in rendered["columnDefinitions"]] == [
        "Name",
        "Spec",
        "Replicas",
        "Age",
    ]
    assert rendered["rows"][0]["cells"] == ["c", "* * * * *", 3, "90s"]
    plain = crd.kind_of(definition(additionalPrinterColumns=None))
    assert table.render(plain, [custom()], now=90)["rows"][0]["cells"] == ["c", "90s"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.floats(0, 2) | st.text("ab*", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "size", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_spec = st.dictionaries(
    st.sampled_from([*SCHEMA["properties"]["spec"]["properties"], "other"]), _json, max_size=6
)
KIND = crd.kind_of(definition())


@given(_json | _spec, _json | _spec)
def test_any_json_may_be_sent(first: Any, second: Any) -> None:
    live = None
    for spec in (first, second):
        checked = schema.check(KIND, {**custom(), "spec": spec})
        new = meta.copy(checked.clean)
        KIND.default(new)
        managedfields.update(KIND, live, new, manager="m", now="1970-01-01T00:00:00Z")
        validate(KIND, new, live)
        table.render(KIND, [new], now=0)
        live = new


def test_server_side_apply_by_the_schema(kind: Kind) -> None:
    first = custom(parts=[{"name": "p", "size": 1}], tags=["a"])
    live = managedfields.apply(kind, None, first, manager="m", now="1970-01-01T00:00:00Z")
    second = custom(parts=[{"name": "q", "size": 2}], tags=["b"])
    both = managedfields.apply(kind, live, second, manager="n", now="1970-01-01T00:00:00Z")
    assert {part["name"] for part in both["spec"]["parts"]} == {"p", "q"}
    assert sorted(both["spec"]["tags"]) == ["a", "b"]


def test_strategic_patches_are_not_for_custom_resources(kind: Kind) -> None:
    with pytest.raises(ApiError) as caught:
        strategic.apply(custom(), {}, kind)
    assert caught.value.code == 415


def test_several_versions() -> None:
    made = definition()
    other = {**made["spec"]["versions"][0], "name": "v2", "storage": False}
    other["schema"] = {"openAPIV3Schema": {"type": "object"}}
    made["spec"]["versions"].append(other)
    kind = crd.kind_of(made)
    assert kind.aliases == (("a.example", "v2"),)
    newer = versions.at(kind, "a.example", "v2")
    assert newer.version == "v2" and newer.open_api == {"type": "object"}
    shown = versions.from_stored(kind, custom(), "a.example", "v2")
    assert shown["apiVersion"] == "a.example/v2"
    assert versions.to_stored(kind, shown) == custom()


def test_selectable_fields() -> None:
    kind = crd.kind_of(definition(selectableFields=[{"jsonPath": ".spec.mode"}]))
    assert kind.fields(custom(mode="a")) == {"spec.mode": "a"}
