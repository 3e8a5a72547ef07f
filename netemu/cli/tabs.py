"""Columns of text, aligned as Go's text/tabwriter does, because kubectl's output is made with it.

A column is a block of consecutive lines that have a cell in that position *terminated by a tab*;
each block is as wide as its widest cell. So `describe` can mix short and long sections, and only
neighbours align. https://pkg.go.dev/text/tabwriter
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def align(lines: Sequence[str], *, minimum: int = 0, padding: int = 2) -> list[str]:
    """`lines` with tabs, as lines with spaces. kubectl's tables: minimum 6, padding 3."""
    rows = [line.split("\t") for line in lines]
    out = ["" for _ in rows]
    _block(rows, out, 0, len(rows), 0, minimum, padding)
    return out


def _block(
    rows: list[list[str]], out: list[str], start: int, end: int, column: int, low: int, pad: int
) -> None:
    """Lay out column `column` of rows[start:end], which all reach it."""
    row = start
    while row < end:
        if len(rows[row]) - 1 <= column:
            out[row] += rows[row][column] if column < len(rows[row]) else ""
            row += 1
            continue
        last = row
        while last < end and len(rows[last]) - 1 > column:
            last += 1
        width = max(display_width(rows[i][column]) for i in range(row, last))
        width = max(width + pad, low)
        for i in range(row, last):
            cell = rows[i][column]
            out[i] += cell + " " * (width - display_width(cell))
        _block(rows, out, row, last, column + 1, low, pad)
        row = last


def display_width(text: str) -> int:
    """Terminal cells: Go counts runes, which is the same for all that Kubernetes names allow."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 1 for char in text)
