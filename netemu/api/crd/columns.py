"""Additional printer columns of custom resources.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#additional-printer-columns
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netemu.api import jsonpath
from netemu.api.duration import since
from netemu.api.kind import Column, Object


def column(given: Mapping[str, Any]) -> Column:
    """The Column for an entry of additionalPrinterColumns."""
    path, kind = given["jsonPath"], given.get("type") or "string"

    def cell(obj: Object, now: float) -> Any:
        return _shown(jsonpath.first(path, obj), kind, now)

    return Column(
        given["name"],
        cell,
        type=kind,
        format=given.get("format") or "",
        priority=given.get("priority") or 0,
        description=given.get("description")
        or f"Custom resource definition column (in JSONPath format): {path}",
    )


def _shown(value: Any, kind: str, now: float) -> Any:
    """A value as the column's type says; None, which prints as nothing, when it does not fit."""
    if value is None:
        return None
    match kind:
        case "integer":
            whole = isinstance(value, (int, float)) and not isinstance(value, bool)
            return int(value) if whole else None
        case "number":
            return value if isinstance(value, (int, float)) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _age(value, now)
    return jsonpath.text(value)


def _age(value: Any, now: float) -> str:
    try:
        return since(value, now)
    except (TypeError, ValueError):
        return "<invalid>"
