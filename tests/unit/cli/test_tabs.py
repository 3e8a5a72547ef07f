"""Alignment as Go's text/tabwriter does it."""

from netemu.cli.tabs import align


def test_only_neighbours_align() -> None:
    lines = ["Name:\tweb", "Labels:\ta=b", "Containers:", "  Image:\tnginx", "  Port:\t80"]
    assert align(lines) == [
        "Name:    web",
        "Labels:  a=b",
        "Containers:",
        "  Image:  nginx",
        "  Port:   80",
    ]


def test_inner_columns_belong_to_their_block() -> None:
    lines = ["a\tb\tc", "aaaa\tb\tc", "a\tbbbbbb", "a\tb\tc"]
    assert align(lines) == ["a     b  c", "aaaa  b  c", "a     bbbbbb", "a     b  c"]


def test_minimum_width() -> None:
    assert align(["A\tB", "x\ty"], minimum=6, padding=3) == ["A     B", "x     y"]
    assert align(["LONGNAME\tB"], minimum=6, padding=3) == ["LONGNAME   B"]


def test_empty_column_keeps_its_padding() -> None:
    assert align(["a\t\tb", "aa\t\tb"]) == ["a     b", "aa    b"]
