"""Who reaches whom, as a matrix: a row a source, a column a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

WIDEST = 40
"""Peers up to which a matrix is readable; above, only the failures are worth a line."""

Cell = Callable[[str, str], str]
"""The text for (source, target); empty when that pair was not tried."""


def matrix(labels: Sequence[str], cell: Cell) -> list[str]:
    """Rows are numbered and columns carry the same numbers, so names may be long."""
    rows = [[cell(source, target) for target in labels] for source in labels]
    numbers = [str(i) for i in range(1, len(labels) + 1)]
    widths = [
        max(len(number), *(len(row[column]) for row in rows))
        for column, number in enumerate(numbers)
    ]
    front = max(len(label) for label in labels)
    indent = len(numbers[-1])
    lines = [" " * (indent + front + 2) + " ".join(map(str.rjust, numbers, widths))]
    for number, label, row in zip(numbers, labels, rows, strict=True):
        cells = " ".join(map(str.rjust, row, widths)).rstrip()
        lines.append(f"{number.rjust(indent)} {label.ljust(front)} {cells}")
    return lines
