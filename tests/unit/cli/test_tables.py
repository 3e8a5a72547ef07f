"""Tables of the server on the terminal."""

from typing import Any

from netemu.cli.tables import Look, TablePrinter, as_table, merged

COLUMNS = [
    {"name": "Name", "priority": 0},
    {"name": "Ready", "priority": 0},
    {"name": "IP", "priority": 1},
]


def table(*rows: tuple[Any, ...], namespace: str = "default") -> dict[str, Any]:
    return {
        "kind": "Table",
        "columnDefinitions": COLUMNS,
        "rows": [
            {
                "cells": list(cells),
                "object": {
                    "metadata": {
                        "name": cells[0],
                        "namespace": namespace,
                        "labels": {"app": "x", "a": "b"},
                    }
                },
            }
            for cells in rows
        ],
    }


def test_wide_columns_only_when_asked() -> None:
    rows = table(("web-0", "1/1", "10.244.1.2"))
    assert TablePrinter(Look()).lines(rows) == ["NAME    READY", "web-0   1/1"]
    assert TablePrinter(Look(wide=True)).lines(rows) == [
        "NAME    READY   IP",
        "web-0   1/1     10.244.1.2",
    ]


def test_namespaces_labels_and_kind() -> None:
    look = Look(namespaces=True, labels=True, label_columns=("app", "none"))
    assert TablePrinter(look, kind="pod").lines(table(("web-0", "1/1", ""))) == [
        "NAMESPACE   NAME        READY   APP   NONE   LABELS",
        "default     pod/web-0   1/1     x            a=b,app=x",
    ]


def test_a_watch_keeps_its_columns() -> None:
    printer = TablePrinter(Look(events=True))
    first = printer.lines(table(("a-long-name", "0/1", "")), event="ADDED")
    later = printer.lines({"rows": table(("b", "1/1", ""))["rows"]}, event="MODIFIED")
    assert first == ["EVENT   NAME          READY", "ADDED   a-long-name   0/1"]
    assert later == ["MODIFIED   b             1/1"]


def test_several_lines_in_a_cell_are_cut() -> None:
    assert TablePrinter(Look(headers=False)).lines(table(("a\nb", None, ""))) == ["a...   "]


def test_no_rows_no_header() -> None:
    assert TablePrinter(Look()).lines(merged([])) == []


def test_an_answer_without_a_table_has_two_columns() -> None:
    items = [{"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}}]
    assert TablePrinter(Look()).lines(as_table({"items": items})) == [
        "NAME   CREATED AT",
        "x      2026-01-01T00:00:00Z",
    ]
