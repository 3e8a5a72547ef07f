"""`events.k8s.io/v1` and `v1` name the same things differently (KEP-383)."""

from __future__ import annotations

from netemu.api.kind import Object

_RENAMED = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
)


def to_core(obj: Object) -> Object:
    return _rename(obj, dict(_RENAMED))


def from_core(obj: Object) -> Object:
    return _rename(obj, {core: new for new, core in _RENAMED})


def _rename(obj: Object, names: dict[str, str]) -> Object:
    return {names.get(key, key): value for key, value in obj.items()}
