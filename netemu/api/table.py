"""Tables: what the server renders for `kubectl get`, and partial metadata for other readers.

https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netemu.api.cells import CREATED, NAME, Field
from netemu.api.kind import Column, Kind, Object
from netemu.api.schema.definitions import documented

DEFAULT_COLUMNS = (NAME, CREATED)
"""Of a kind that declares none."""


def render(
    kind: Kind,
    objects: Iterable[Object],
    *,
    now: float,
    include: str = "Metadata",
    list_metadata: Mapping[str, Any] | None = None,
    version: str = "v1",
    headers: bool = True,
) -> Object:
    """A meta.k8s.io Table with a row for each object.

    `now` is in epoch seconds, for the ages. `include` says what each row carries of its object:
    `None`, `Metadata` or `Object`. `list_metadata` has the list's resourceVersion and continue.
    A watch sends tables of one row, and `headers` in the first only.
    """
    columns = kind.columns or DEFAULT_COLUMNS
    api_version = f"meta.k8s.io/{version}"
    definitions = [_definition(kind, column) for column in columns] if headers else None
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": dict(list_metadata or {}),
        "columnDefinitions": definitions,
        "rows": [_row(kind, columns, obj, now, include, api_version) for obj in objects],
    }


def _definition(kind: Kind, column: Column) -> dict[str, Any]:
    description = column.description
    if not description and isinstance(column.cell, Field):
        description = documented(kind.schema, column.cell.path)
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": description,
        "priority": column.priority,
    }


def _row(
    kind: Kind,
    columns: tuple[Column, ...],
    obj: Object,
    now: float,
    include: str,
    api_version: str,
) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": [column.cell(obj, now) for column in columns]}
    conditions = kind.row_conditions(obj)
    if conditions:
        row["conditions"] = conditions
    if include == "Object":
        row["object"] = obj
    elif include == "Metadata":
        row["object"] = partial(obj, api_version=api_version)
    return row


def partial(obj: Object, *, api_version: str = "meta.k8s.io/v1") -> Object:
    """The object's PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": api_version,
        "metadata": obj.get("metadata") or {},
    }
