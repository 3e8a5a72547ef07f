"""Defaults from a structural schema.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netemu.api import meta


def fill(value: Any, schema: Mapping[str, Any]) -> None:
    """Put the defaults of `schema` into `value`, which the caller owns, in place."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, inner in properties.items():
            missing = name not in value or (value[name] is None and not inner.get("nullable"))
            if missing and "default" in inner:
                value[name] = meta.copy_value(inner["default"])
            if name in value:
                fill(value[name], inner)
        additional = schema.get("additionalProperties")
        if isinstance(additional, Mapping):
            for name, inner_value in value.items():
                if name not in properties:
                    fill(inner_value, additional)
    elif isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, Mapping):
            for item in value:
                fill(item, items)
