import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import patch
from netemu.errors import ApiError


def test_json_patch_leaves_its_input_alone() -> None:
    obj = {"a": {"b": [1]}}
    before = copy.deepcopy(obj)
    operations = [{"op": "add", "path": "/a/b/-", "value": {"c": 1}}]
    assert patch.apply_json_patch(obj, operations) == {"a": {"b": [1, {"c": 1}]}}
    assert obj == before


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ({"op": "add"}, 400),
        ([{"op": "nonsense", "path": "/a"}], 400),
        ([{"path": "/a"}], 400),
        ([{"op": "remove", "path": "/missing"}], 422),
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "replace", "path": "", "value": []}], 400),
        (["x"], 400),
        ([{"op": "test", "path": "/a", "value": 1}] * 10_001, 413),
    ],
)
def test_bad_json_patch(operations: Any, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        patch.apply_json_patch({"a": 1}, operations)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("target", "change", "result"),  # RFC 7386, appendix A, as far as objects go
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, change: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert patch.apply_merge_patch(target, change) == result
    assert target == before


def test_merge_patch_must_be_an_object() -> None:
    with pytest.raises(ApiError):
        patch.apply_merge_patch({}, [1])


_values = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=10,
)
_objects = st.dictionaries(st.text("abc", max_size=2), _values, max_size=4)


@given(_objects, _objects)
def test_merge_patch_is_idempotent(target: Any, change: Any) -> None:
    once = patch.apply_merge_patch(target, change)
    assert patch.apply_merge_patch(once, change) == once
