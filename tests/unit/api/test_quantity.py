from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netemu.api import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("100m", Fraction(1, 10)),
        ("1.5Gi", 3 * 2**29),
        ("2e3", 2000),
        ("12E", 12 * 10**18),
        (".5", Fraction(1, 2)),
        ("-1k", -1000),
        ("1n", Fraction(1, 10**9)),
        ("0.1n", Fraction(1, 10**9)),
        (3, 3),
    ],
)
def test_parse(text: str | int, value: Fraction | int) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1.2.3", "1KI", "1ki", "--1", "1e"])
def test_unreadable(text: str) -> None:
    assert not quantity.is_valid(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1500Mi", "1500Mi"),
        ("1.5Gi", "1536Mi"),
        ("512", "512"),
        ("1000", "1k"),
        ("0.5Gi", "512Mi"),
        ("100Ki", "100Ki"),
        ("0Gi", "0"),
        ("1e3", "1e3"),
        ("0.3Ki", "307200m"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


_amounts = st.builds(
    lambda number, suffix: f"{number}{suffix}",
    st.integers(-(10**6), 10**6),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "n", "u", "e3", "E-2"]),
)


@given(_amounts)
def test_canonical_keeps_the_value(text: str) -> None:
    assert quantity.parse(quantity.canonical(text)) == quantity.parse(text)
    assert quantity.canonical(quantity.canonical(text)) == quantity.canonical(text)
