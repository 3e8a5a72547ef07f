"""x-kubernetes-validations: the documentation's examples, and Gateway API's kind of rules."""

from typing import Any

import pytest

from netemu.api.crd import cel, rules

INTEGER, STRING = {"type": "integer"}, {"type": "string"}
Schema = dict[str, Any]


def spec_of(*found: Any, **properties: Schema) -> Schema:
    """A schema whose spec has these rules: texts, or maps."""
    listed = [rule if isinstance(rule, dict) else {"rule": rule} for rule in found]
    spec = {"type": "object", "properties": properties, rules.RULES: listed}
    return {"type": "object", "properties": {"spec": spec}}


def broken(schema: Schema, spec: Any, old: Any = None) -> list[tuple[str, str]]:
    before = None if old is None else {"spec": old}
    return [(c.field, c.message) for c in rules.check({"spec": spec}, before, schema)]


REPLICAS = {"minReplicas": INTEGER, "replicas": INTEGER, "maxReplicas": INTEGER}


def test_a_rule_compares_fields() -> None:
    message = "replicas must lie between"
    rule = {
        "rule": "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
        "message": message,
    }
    schema = spec_of(rule, **REPLICAS)
    assert not broken(schema, {"minReplicas": 1, "replicas": 2, "maxReplicas": 3})
    found = broken(schema, {"minReplicas": 1, "replicas": 4, "maxReplicas": 3})
    assert found == [("spec", f'Invalid value: "object": {message}')]


def test_what_a_rule_says_when_it_is_broken() -> None:
    told = {
        "rule": "self.replicas < 3",
        "messageExpression": "'at most 2, not ' + string(self.replicas)",
        "reason": "FieldValueForbidden",
        "fieldPath": ".replicas",
    }
    found = rules.check({"spec": {"replicas": 5}}, None, spec_of(told, **REPLICAS))
    assert [(c.field, c.reason, c.message) for c in found] == [
        ("spec.replicas", "FieldValueForbidden", "Forbidden: at most 2, not 5")
    ]
    plain = spec_of("self.replicas < 3", **REPLICAS)
    assert broken(plain, {"replicas": 5})[0][1].endswith("failed rule: self.replicas < 3")
    assert "no such member" in broken(plain, {})[0][1]


def test_transitions_are_judged_on_updates_only() -> None:
    schema = spec_of(value={**STRING, rules.RULES: [{"rule": "self == oldSelf"}]})
    assert not broken(schema, {"value": "a"})
    assert not broken(schema, {"value": "a"}, {"value": "a"})
    assert not broken(schema, {"value": "a"}, {})
    assert broken(schema, {"value": "b"}, {"value": "a"})[0][0] == "spec.value"


def test_items_of_a_keyed_list_are_compared_by_their_keys() -> None:
    item = {
        "type": "object",
        "properties": {"name": STRING, "port": INTEGER},
        rules.RULES: [{"rule": "self.port >= oldSelf.port"}],
    }
    keyed = {"type": "array", "items": item, "x-kubernetes-list-type": "map"}
    schema = spec_of(ports=keyed | {"x-kubernetes-list-map-keys": ["name"]})
    old = {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}
    assert not broken(schema, {"ports": [{"name": "b", "port": 2}, {"name": "c", "port": 0}]}, old)
    found = broken(schema, {"ports": [{"name": "b", "port": 1}]}, old)
    assert [field for field, _ in found] == ["spec.ports[0]"]
    atomic = spec_of(ports={"type": "array", "items": item})
    assert not broken(atomic, {"ports": [{"name": "b", "port": 1}]}, old)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("self.all(x, self.exists_one(y, y == x))", ["a", "b"], ["a", "a"]),
        ("self.filter(x, x.startsWith('a')).size() <= 1", ["a1", "b"], ["a1", "a2"]),
        ("self.map(x, size(x)).sum() < 5 && self.isSorted()", ["a", "b"], ["b", "a"]),
        ("self.join('-').split('-').size() == self.size()", ["a", "b"], ["a-b"]),
        ("self[0].lowerAscii().trim().replace('x', '') == 'a'", [" XA "], ["B"]),
        ("self[0].find('[0-9]+') == '12' && self[0].indexOf('1') == 1", ["a12"], ["12"]),
        ("self.max() == 'c' && self[0].substring(1) == 'b'", ["ab", "c"], ["ac", "c"]),
        ("self[0].matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')", ["a-1"], ["-a"]),
    ],
)
def test_functions(rule: str, good: list[str], bad: list[str]) -> None:
    listed = {"type": "array", "items": STRING, rules.RULES: [{"rule": rule}]}
    assert not broken(spec_of(list=listed), {"list": good})
    assert broken(spec_of(list=listed), {"list": bad})


def test_values_have_the_types_of_their_schema() -> None:
    properties = {
        "ratio": {"type": "number"},
        "at": {**STRING, "format": "date-time"},
        "every": {**STRING, "format": "duration"},
        "x-y": INTEGER,
        "namespace": STRING,
        "labels": {"type": "object", "additionalProperties": STRING},
    }
    schema = spec_of(
        "self.ratio < 2.5",
        "self.at > timestamp('2020-01-01T00:00:00Z')",
        "self.every <= duration('1h')",
        "self.x__dash__y == 1 && self.__namespace__ == 'a'",
        "self.labels.all(key, size(self.labels[key]) < 3) && !('hidden' in self)",
        **properties,
    )
    good = {"ratio": 2, "at": "2021-01-01T00:00:00Z", "every": "30m", "x-y": 1, "namespace": "a"}
    good |= {"labels": {"a": "b"}, "hidden": 1}
    assert not broken(schema, good)
    bad = {"ratio": 3, "at": "2019-01-01T00:00:00Z", "every": "2h", "x-y": 2, "namespace": "a"}
    assert len(broken(schema, bad | {"labels": {"a": "long"}})) == 5


def test_the_object_itself_has_a_name() -> None:
    schema = {"type": "object", rules.RULES: [{"rule": "self.metadata.name.startsWith('a')"}]}
    assert not rules.check({"metadata": {"name": "ab"}, "kind": "K"}, None, schema)
    assert rules.check({"metadata": {"name": "b"}, "kind": "K"}, None, schema)


def test_what_cannot_be_judged_is_told_apart() -> None:
    schema = spec_of("self.a ++ 1", "quantity(self.a) == 1", "self.?a.orValue(1) == 1", a=INTEGER)
    found = list(rules.examine(schema, "s"))
    where = "s.properties[spec].x-kubernetes-validations"
    assert [(path, wrong) for path, _, wrong in found] == [
        (f"{where}[0].rule", True),
        (f"{where}[1].rule", False),
        (f"{where}[2].rule", False),
    ]
    assert "compilation failed" in found[0][1] and "function quantity" in found[1][1]
    assert not broken(spec_of("quantity(self.a) == 1", a=INTEGER), {"a": 2})


def test_most_schemas_have_no_rules() -> None:
    assert not rules.has_rules(spec_of()["properties"]["spec"]["properties"])
    assert rules.has_rules(spec_of(list={"type": "array", "items": {rules.RULES: [{"rule": "1"}]}}))
    assert cel.escaped("a__b") == "a__underscores__b"
