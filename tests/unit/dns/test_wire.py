from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.dns import wire

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=6).filter(
    lambda labels: sum(len(label) + 1 for label in labels) < 255
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b"\0"),
        (".", b"\0"),
        ("a.b", b"\1a\1b\0"),
        ("a.b.", b"\1a\1b\0"),
        (r"a\.b.c", b"\3a.b\1c\0"),
        (r"\000\255", b"\2\0\xff\0"),
    ],
)
def test_from_text(text, expected):
    assert wire.from_text(text) == expected


@pytest.mark.parametrize("text", ["a..b", ".a", "x" * 64, ".".join(["x" * 63] * 4), "a..", ".."])
def test_names_that_cannot_be(text):
    with pytest.raises(ValueError, match="label|name"):
        wire.from_text(text)


@given(LABELS)
def test_text_and_back(labels):
    name = wire.join(labels)
    assert wire.from_text(wire.to_text(name)) == name
    assert wire.labels(name) == labels


@given(LABELS)
def test_reading_back(labels):
    name = wire.join(labels)
    assert wire.read_name(b"head" + name + b"tail", 4) == (name, 4 + len(name))


def test_a_zone_ends_at_a_label_only():
    zone = wire.from_text("b.c")
    assert wire.is_below(wire.from_text("a.b.c"), zone)
    assert wire.is_below(zone, zone)
    assert not wire.is_below(wire.from_text("ab.c"), zone)
    assert not wire.is_below(wire.join([b"x\1b", b"c"]), zone)


def test_compressed_names():
    data = b"\1c\0" + b"\1b\xc0\x00" + b"\1a\xc0\x03"
    assert wire.read_name(data, 7) == (b"\1a\1b\1c\0", 11)


@pytest.mark.parametrize(
    "data",
    [b"\xc0\x00", b"\1a\xc0\x00", b"\1a", b"\xc0", b"\x40a\0", b"\xc0\x05\1a\0"],
    ids=["itself", "loop", "cut", "cut pointer", "type 01", "forward"],
)
def test_names_that_cannot_be_read(data):
    with pytest.raises(wire.Malformed):
        wire.read_name(data, 0)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_reading_never_hangs_or_crashes(data, at):
    try:
        name, end = wire.read_name(data, at)
    except wire.Malformed:
        return
    assert at < end <= len(data)
    assert len(name) <= wire.MAX_NAME


@pytest.mark.parametrize(
    ("text", "number"), [("A", 1), ("aaaa", 28), ("TYPE65280", 65280), ("type1", 1)]
)
def test_type_numbers(text, number):
    assert wire.type_number(text) == number


@pytest.mark.parametrize("text", ["", "B", "TYPE", "TYPE65536", "TYPE-1"])
def test_types_that_are_none(text):
    with pytest.raises(ValueError, match="record type"):
        wire.type_number(text)
