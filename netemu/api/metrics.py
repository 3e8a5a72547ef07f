"""`metrics.k8s.io`: NodeMetrics and PodMetrics, measured when asked for and never stored.

Served as metrics-server does, for `kubectl top` and clients that scale by themselves.
https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from netemu.api import quantity
from netemu.api.cells import AGE, NAME, string
from netemu.api.kind import Column, Kind, Object

GROUP = "metrics.k8s.io"
VERSION = "v1beta1"
_READ = frozenset(("get", "list"))
_USAGE = {"type": "object", "additionalProperties": {"type": "string"}}
_WHEN = {
    "timestamp": {"type": "string", "format": "date-time"},
    "window": {"type": "string"},
}
_CONTAINER = {"type": "object", "properties": {"name": {"type": "string"}, "usage": _USAGE}}


def usage(amounts: Mapping[str, int]) -> dict[str, str]:
    """Thousandths of a core and bytes as quantities."""
    cpu = quantity.format(Fraction(amounts.get("cpu", 0), 1000))
    return {"cpu": cpu, "memory": f"{amounts.get('memory', 0) // 1024}Ki"}


def _total(obj: Object, resource: str) -> Fraction:
    parts = [obj] if "usage" in obj else obj.get("containers") or ()
    return sum((quantity.parse(part["usage"].get(resource, 0)) for part in parts), Fraction())


def _cpu(obj: Object, now: float) -> str:
    return quantity.format(_total(obj, "cpu"))


def _memory(obj: Object, now: float) -> str:
    return quantity.format(_total(obj, "memory"), "binary")


_COLUMNS = (NAME, Column("CPU", _cpu), Column("Memory", _memory), string("Window", "window"), AGE)


def _measured(plural: str, kind: str, *, namespaced: bool, **properties: Any) -> Kind:
    return Kind(
        group=GROUP,
        version=VERSION,
        plural=plural,
        kind=kind,
        singular=plural[:-1],
        storage=f"{GROUP}/{plural}",  # never stored, but pods and nodes have their places already
        namespaced=namespaced,
        verbs=_READ,
        columns=_COLUMNS,
        open_api={"type": "object", "properties": {**_WHEN, **properties}},
    )


NODE_METRICS = _measured("nodes", "NodeMetrics", namespaced=False, usage=_USAGE)
POD_METRICS = _measured(
    "pods", "PodMetrics", namespaced=True, containers={"type": "array", "items": _CONTAINER}
)
METRICS = (NODE_METRICS, POD_METRICS)
