"""The three-way merge of client-side apply."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.cli.threeway import (
    LAST_APPLIED,
    difference,
    last_applied,
    merge,
    merge_key,
    with_last_applied,
)


def json_merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386, as the server applies it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = json_merge_patch(result.get(key), value)
    return result


def test_defaults_and_other_peoples_fields_stay() -> None:
    live = {"spec": {"replicas": 3, "strategy": {"type": "RollingUpdate"}}, "status": {"x": 1}}
    wanted = {"spec": {"replicas": 5}}
    assert merge({"spec": {"replicas": 3}}, live, wanted) == {
        "spec": {"replicas": 5, "strategy": {"type": "RollingUpdate"}},
        "status": {"x": 1},
    }


def test_what_the_manifest_no_longer_says_goes() -> None:
    last = {"data": {"a": "1", "b": "2"}, "spec": {"paused": True}}
    live = {"data": {"a": "1", "b": "2", "c": "3"}, "spec": {"paused": True}}
    assert merge(last, live, {"data": {"a": "9"}}) == {"data": {"a": "9", "c": "3"}}


def test_containers_are_merged_by_name() -> None:
    last = {"containers": [{"name": "app", "image": "a:1", "tty": True}]}
    live = {
        "containers": [
            {"name": "sidecar", "image": "s"},
            {"name": "app", "image": "a:1", "tty": True, "imagePullPolicy": "IfNotPresent"},
        ]
    }
    wanted = {"containers": [{"name": "app", "image": "a:2"}]}
    assert merge(last, live, wanted) == {
        "containers": [
            {"name": "sidecar", "image": "s"},
            {"name": "app", "image": "a:2", "imagePullPolicy": "IfNotPresent"},
        ]
    }


def test_removed_and_added_elements() -> None:
    last = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    live = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "X"}]}
    wanted = {"env": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]}
    assert merge(last, live, wanted) == {
        "env": [{"name": "B", "value": "2"}, {"name": "X"}, {"name": "C", "value": "3"}]
    }


def test_the_manifests_order_holds_also_for_what_is_new() -> None:
    live = {"env": [{"name": "X"}, {"name": "B"}]}
    wanted = {"env": [{"name": "A"}, {"name": "B"}]}
    once = merge({}, live, wanted)
    assert once == {"env": [{"name": "A"}, {"name": "B"}, {"name": "X"}]}
    assert merge(wanted, once, wanted) == once


def test_service_ports_keep_their_node_ports() -> None:
    last = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    live = {
        "ports": [
            {"port": 53, "protocol": "UDP", "nodePort": 30001},
            {"port": 53, "protocol": "TCP", "nodePort": 30002},
        ]
    }
    wanted = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert merge(last, live, wanted) == live


def test_lists_without_a_key_are_replaced() -> None:
    assert merge({"args": ["a"]}, {"args": ["a", "x"]}, {"args": ["b"]}) == {"args": ["b"]}
    assert merge({}, {"tolerations": [{"key": "a"}]}, {"tolerations": []}) == {"tolerations": []}


def test_finalizers_are_a_set() -> None:
    last, live, wanted = ["a", "b"], ["a", "b", "other"], ["a", "c"]
    assert merge(last, live, wanted, field="finalizers") == ["a", "other", "c"]


def test_null_removes() -> None:
    assert merge({}, {"a": 1, "b": 2}, {"a": None}) == {"b": 2}


@pytest.mark.parametrize(
    ("field", "elements", "key"),
    [
        ("containers", [{"name": "a"}], "name"),
        ("ports", [{"containerPort": 80}], "containerPort"),
        ("ports", [{"port": 80}], "port"),
        ("ports", [80], ""),
        ("containers", [{"name": "a"}, {}], ""),
        ("args", ["a"], ""),
        ("volumeMounts", [{"mountPath": "/x"}], "mountPath"),
    ],
)
def test_keys_of_lists(field: str, elements: list[Any], key: str) -> None:
    assert merge_key(field, elements) == key


def test_the_annotation_remembers_the_manifest() -> None:
    obj = {"kind": "Pod", "metadata": {"name": "a", "annotations": {"x": "<&>"}}}
    marked = with_last_applied(obj)
    text = marked["metadata"]["annotations"][LAST_APPLIED]
    assert text.endswith("\n") and "\\u003c\\u0026\\u003e" in text
    assert last_applied(marked) == obj
    assert with_last_applied(marked) == marked, "it does not remember itself"
    assert last_applied({"metadata": {"annotations": {LAST_APPLIED: "{"}}}) is None


SCALAR = st.integers(0, 3) | st.sampled_from(["x", "y"]) | st.booleans()
NAMED = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"v": SCALAR}),
    max_size=4,
    unique_by=lambda element: element["name"],
)
TREE = st.dictionaries(
    st.sampled_from(["a", "b", "env", "args"]),
    SCALAR | NAMED | st.dictionaries(st.sampled_from("pq"), SCALAR, max_size=2),
    max_size=4,
)


@given(TREE, TREE, TREE)
def test_applying_twice_changes_nothing(last: Any, live: Any, wanted: Any) -> None:
    once = merge(last, live, wanted)
    assert merge(wanted, once, wanted) == once


@given(TREE, TREE)
def test_a_new_object_is_what_was_asked_for(last: Any, wanted: Any) -> None:
    assert merge(last, {}, wanted) == wanted


@given(TREE, TREE)
def test_the_difference_makes_one_of_the_other(live: Any, result: Any) -> None:
    patch = difference(live, result)
    assert json_merge_patch(live, patch) == result
    assert (patch == {}) == (json.dumps(live, sort_keys=True) == json.dumps(result, sort_keys=True))
