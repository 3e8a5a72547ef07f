"""Strict reading: places of errors, go-yaml's scalars, hostile input."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netemu.documents.reader import MAX_BYTES, decode, parse
from netemu.errors import ManifestError


def values(text: str) -> list[object]:
    documents, errors = parse(text, "f.yaml")
    assert not errors, errors
    return [document.value for document in documents]


def problems(text: str) -> list[str]:
    return [str(error) for error in parse(text, "f.yaml")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080:80", "8080:80"),
        ("2001-01-01", "2001-01-01"),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0x1f", 31),
        ("1e3", 1000.0),
        ("1_000", 1000),
        ("-5", -5),
        ("1.5", 1.5),
        ("1.2.3", "1.2.3"),
        ("yes", True),
        ("off", False),
        ('"yes"', "yes"),
        ("~", None),
        ("", None),
        ("=", "="),
        ("!!binary aGk=", "aGk="),
        ("12:30:45", "12:30:45"),
    ],
)
def test_scalars_as_go_yaml_reads_them(text: str, value: object) -> None:
    assert values(f"k: {text}") == [{"k": value}]


def test_keys_become_text() -> None:
    assert values("{80: a, true: b, ~: c}") == [{"80": "a", "true": "b", "null": "c"}]


def test_merge_keys_and_aliases() -> None:
    text = "base: &b {a: 1}\nother: {<<: *b, c: 2}\nagain: *b\n"
    assert values(text) == [{"base": {"a": 1}, "other": {"a": 1, "c": 2}, "again": {"a": 1}}]


def test_empty_documents_do_not_count() -> None:
    documents, errors = parse("---\n# only a comment\n---\na: 1\n---\n\n--- # x\nb: 2\n", "f.yaml")
    assert not errors
    assert [(d.number, d.count, d.value) for d in documents] == [(1, 2, {"a": 1}), (2, 2, {"b": 2})]


def test_every_bad_document_is_named_with_its_line() -> None:
    text = "a: 1\n---\nx: [1\n---\nb: 2\n---\na: 1\nb: 2\na: 3\n"
    documents, errors = parse(text, "f.yaml")
    assert [d.value for d in documents] == [{"a": 1}, {"b": 2}]
    assert [str(e) for e in errors] == [
        "f.yaml: document 2 (line 2): line 4, column 1: did not find expected ',' or ']'",
        'f.yaml: document 4 (line 6): line 9, column 1: key "a" is already set on line 7',
    ]


def test_single_document_is_named_by_its_file() -> None:
    assert problems("a: b: c") == [
        "f.yaml: line 1, column 5: mapping values are not allowed in this context"
    ]


def test_tabs_are_an_error_with_a_place() -> None:
    assert problems("a:\n\tb: 1")[0].startswith("f.yaml: line 2, column 1:")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 30_000 + "]" * 30_000,
        "- " * 30_000 + "a",
        "{a: " * 30_000 + "1" + "}" * 30_000,
        '{"a":' * 30_000 + "1" + "}" * 30_000,
    ],
)
def test_deep_nesting_does_not_end_the_process(text: str) -> None:
    assert problems(text) == ["f.yaml: is nested too deeply"]


def test_aliases_that_stand_for_billions() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 16)]
    assert "aliases stand for" in problems("\n".join(lines))[0]


def test_alias_of_itself() -> None:
    assert problems("a: &a [*a]") == ["f.yaml: an alias contains itself"]


def test_json_streams() -> None:
    assert values('{"a": 1}\n{"b": 2}') == [{"a": 1}, {"b": 2}]
    assert values('{\n\t"a": 1\n}') == [{"a": 1}]
    assert problems('{"a": 1, "a": 2}') == ['f.yaml: key "a" is given twice']
    assert problems('{"a": 1,, }')[0].startswith("f.yaml: line 1, column")
    assert values("{a: 1}") == [{"a": 1}]


def test_not_utf8() -> None:
    with pytest.raises(ManifestError, match=r"f\.yaml: line 2: is not UTF-8 \(byte 0xe9 at 8\)"):
        decode(b"a: b\nc: \xe9\n", "f.yaml")


def test_byte_order_mark_is_no_text() -> None:
    assert decode(b"\xef\xbb\xbfa: 1", "f.yaml") == "a: 1"


def test_too_large() -> None:
    with pytest.raises(ManifestError, match=r"is 33\.\d MB; at most 33\.\d MB are read"):
        decode(b"x" * (MAX_BYTES + 1), "f.yaml")


NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?0[box][0-9a-fA-F]+")
TEXT = st.text().filter(lambda text: not NUMBER.fullmatch(text))
"""PyYAML, of YAML 1.1, leaves some texts bare that are numbers for go-yaml and for us: 0E0."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_reads_what_yaml_writes(value: dict[str, object]) -> None:
    text = yaml.safe_dump(value)
    documents, errors = parse(text, "f.yaml")
    assert not errors
    assert [d.value for d in documents] == ([value] if value else [{}])


@given(st.text(max_size=300))
def test_any_text_gives_documents_or_errors(text: str) -> None:
    documents, errors = parse(text, "f.yaml")
    assert all(isinstance(error, ManifestError) for error in errors)
    assert all(document.number >= 1 for document in documents)
