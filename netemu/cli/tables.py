"""The server's Tables on the terminal, as kubectl prints them.

The server decides columns and cells (`as=Table`); here are widths, `-o wide`, namespaces, labels.
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netemu.api.resource import Object
from netemu.cli.tabs import display_width

MINIMUM, PADDING = 6, 3
_BREAK = re.compile("[\f\n\r]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the flags say about a table."""

    wide: bool = False
    namespaces: bool = False
    headers: bool = True
    labels: bool = False
    label_columns: tuple[str, ...] = ()
    events: bool = False


class TablePrinter:
    """Lines of one table. It remembers its widths, so that a watch goes on in the same columns."""

    def __init__(self, look: Look, *, kind: str = "") -> None:
        self._look = look
        self._kind = kind
        self._columns: list[dict[str, Any]] = []
        self._widths: list[int] = []
        self._headed = not look.headers

    def lines(self, table: Object, *, event: str = "") -> list[str]:
        """The rows of `table`, with the header before the first ones ever."""
        self._columns = table.get("columnDefinitions") or self._columns
        rows = [self._cells(row, event) for row in table.get("rows") or ()]
        if not self._headed and rows:
            self._headed = True
            rows.insert(0, self._header())
        self._widen(rows)
        return [self._padded(row) for row in rows]

    def _shown(self) -> list[int]:
        return [i for i, c in enumerate(self._columns) if self._look.wide or not c.get("priority")]

    def _header(self) -> list[str]:
        look = self._look
        names = [str(self._columns[i]["name"]).upper() for i in self._shown()]
        front = ["EVENT"] * look.events + ["NAMESPACE"] * look.namespaces
        last = [label.rpartition("/")[2].upper() for label in look.label_columns]
        return front + names + last + ["LABELS"] * look.labels

    def _cells(self, row: dict[str, Any], event: str) -> list[str]:
        look = self._look
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        values = row.get("cells") or []
        cells = [_text(values[i]) for i in self._shown() if i < len(values)]
        if self._kind and cells:
            cells[0] = f"{self._kind}/{cells[0]}"
        front = [event] * look.events + [metadata.get("namespace", "")] * look.namespaces
        last = [labels.get(name, "") for name in look.label_columns]
        return front + cells + last + [label_text(labels)] * look.labels

    def _widen(self, rows: Sequence[Sequence[str]]) -> None:
        for row in rows:
            for i, cell in enumerate(row[:-1]):
                width = max(display_width(cell) + PADDING, MINIMUM)
                if i == len(self._widths):
                    self._widths.append(width)
                self._widths[i] = max(self._widths[i], width)

    def _padded(self, row: Sequence[str]) -> str:
        padded = [
            cell + " " * (width - display_width(cell))
            for cell, width in zip(row[:-1], self._widths, strict=False)
        ]
        return "".join([*padded, *row[-1:]])


def label_text(labels: dict[str, str]) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels)) or "<none>"


def merged(tables: Iterable[Object]) -> Object:
    """Several tables of one resource as one."""
    found = list(tables)
    rows = [row for table in found for row in table.get("rows") or ()]
    return {**(found[0] if found else {}), "rows": rows}


def as_table(obj: Object) -> Object:
    """A server that gave no Table gets kubectl's own two columns."""
    if obj.get("kind") == "Table":
        return obj
    items = obj.get("items") if "items" in obj else [obj]
    return {
        "kind": "Table",
        "columnDefinitions": [{"name": "Name"}, {"name": "Created At"}],
        "rows": [
            {
                "cells": [
                    (item.get("metadata") or {}).get("name", ""),
                    (item.get("metadata") or {}).get("creationTimestamp", ""),
                ],
                "object": item,
            }
            for item in items or ()
        ],
        "metadata": obj.get("metadata") or {},
    }


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    text = str(cell)
    end = _BREAK.search(text)
    if end:
        text = text[: end.start()] + "..."
    return text.replace("\x1b", "^[")
