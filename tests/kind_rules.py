"""An object of a kind as the API server would keep it, what it would refuse, and its table row."""

from __future__ import annotations

from typing import Any

from netemu.api import meta, table
from netemu.api.kind import Kind
from netemu.api.objectrules import validate

Object = dict[str, Any]


def stored(kind: Kind, obj: Object, old: Object | None = None) -> Object:
    """With defaults, and with metadata where the test has none."""
    metadata = {"name": "x", "uid": "1", **({"namespace": "default"} if kind.namespaced else {})}
    new = meta.copy({"metadata": metadata, **obj})
    kind.default(new)
    kind.prepare(new, old)
    return new


def problems(kind: Kind, obj: Object, old: Object | None = None) -> list[tuple[str, str]]:
    """(field, message) of all that is wrong."""
    causes = validate(kind, stored(kind, obj, old), old)
    return [(cause.field, cause.message) for cause in causes]


def cells(kind: Kind, obj: Object, now: float = 0) -> list[Any]:
    """Its row in `kubectl get`; a status is taken as it is."""
    shown = {**stored(kind, obj), **({"status": obj["status"]} if "status" in obj else {})}
    found: list[Any] = table.render(kind, [shown], now=now)["rows"][0]["cells"]
    return found
