"""YAML as kubectl prints it. The expected quoting was printed by kubectl 1.33."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netemu.cli.yamlio import dump

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("v", "v"),
        ("123", '"123"'),
        ("true", '"true"'),
        ("yes", '"yes"'),
        ("2001-01-01", '"2001-01-01"'),
        ("", '""'),
        (" x", "' x'"),
        ("a: b", "'a: b'"),
        ("#x", "'#x'"),
        ("it's", "it's"),
        ("- a", "'- a'"),
        ("*x", "'*x'"),
        ("0o17", '"0o17"'),
        ("1e3", '"1e3"'),
        ("a:b", "a:b"),
        ("é", "é"),
        ("null", '"null"'),
        ("~", '"~"'),
        ("a\nb\n", "|\n  a\n  b"),
    ],
)
def test_quotes(value: str, written: str) -> None:
    assert dump({"k": value}) == f"k: {written}\n"


def test_keys_are_sorted_and_lists_are_not_indented() -> None:
    assert dump({"b": [{"d": 1, "c": 2}], "a": {}}) == "a: {}\nb:\n- c: 2\n  d: 1\n"


def test_shared_values_get_no_anchors() -> None:
    shared = ["x"]
    assert dump({"a": shared, "b": shared}) == "a:\n- x\nb:\n- x\n"


@given(JSON)
def test_what_is_written_is_read_back(value: object) -> None:
    assert yaml.safe_load(dump(value)) == value
