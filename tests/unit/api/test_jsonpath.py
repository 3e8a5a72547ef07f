from typing import Any

import pytest

from netemu.api import jsonpath

OBJ = {
    "metadata": {"name": "x", "labels": {"a.b/c": "d"}},
    "spec": {"list": [{"n": 1}, {"n": 2}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["x"]),
        ("{.metadata.name}", ["x"]),
        ("$.metadata.name", ["x"]),
        ("metadata.name", ["x"]),
        (r".metadata.labels.a\.b/c", ["d"]),
        (".metadata.labels['a.b/c']", ["d"]),
        (".spec.list[*].n", [1, 2]),
        (".spec.list[0].n", [1]),
        (".spec.list[-1].n", [2]),
        (".spec.list[5].n", []),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].type", ["X"]),
        (".nothing.at.all", []),
        (".metadata.labels.*", ["d"]),
    ],
)
def test_find(path: str, found: list[Any]) -> None:
    assert jsonpath.find(path, OBJ) == found


def test_unreadable() -> None:
    assert not jsonpath.is_valid(".a[")
    with pytest.raises(ValueError):
        jsonpath.find(".a[?(@.x)]", OBJ)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (5, "5"), ("x", "x"), ({"a": [1]}, '{"a":[1]}')],
)
def test_text(value: Any, text: str) -> None:
    assert jsonpath.text(value) == text
