"""What a file's documents are once they were read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Read(NamedTuple):
    """A document's first line and value, or what is wrong with it."""

    line: int
    value: Any = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document: its value, and where it stands. `line` counts from 1."""

    value: Any
    file: str
    number: int
    count: int
    line: int

    @property
    def source(self) -> str:
        """`web.yaml`, or `web.yaml: document 2 (line 14)` when there are several."""
        return place(self.file, self.number, self.count, self.line)


def place(file: str, number: int, count: int, line: int) -> str:
    return file if count == 1 else f"{file}: document {number} (line {line})"
