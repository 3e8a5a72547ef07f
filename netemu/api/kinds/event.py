"""Event: what components tell about other objects, in `v1` and in `events.k8s.io/v1`.

Stored in the older form; `to_events_v1` and `from_events_v1` convert.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

from collections.abc import Mapping

from netemu.api import meta
from netemu.api.cells import NAME, at
from netemu.api.duration import since
from netemu.api.invalid import invalid
from netemu.api.kind import Cause, Column, Kind, Object

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_CLUSTER_SPACES = ("default", "kube-system")


def _validate(obj: Object, old: Object | None) -> list[Cause]:
    space = meta.namespace(obj)
    involved = (obj.get("involvedObject") or {}).get("namespace") or ""
    if involved == space or (not involved and space in _CLUSTER_SPACES):
        return []
    message = "does not match event.namespace"
    return [invalid("involvedObject.namespace", involved, message)]


def _fields(obj: Object) -> Mapping[str, str]:
    involved = obj.get("involvedObject") or {}
    source = obj.get("source") or {}
    values = {f"involvedObject.{key}": involved.get(key) or "" for key in _INVOLVED}
    values["reason"] = obj.get("reason") or ""
    values["type"] = obj.get("type") or ""
    values["reportingComponent"] = obj.get("reportingComponent") or ""
    values["source"] = source.get("component") or obj.get("reportingComponent") or ""
    return values


def _first(obj: Object, now: float) -> str:
    return since(obj.get("firstTimestamp") or obj.get("eventTime"), now)


def _last(obj: Object, now: float) -> str:
    series = obj.get("series")
    if series:
        return since(series.get("lastObservedTime"), now)
    last = obj.get("lastTimestamp")
    return since(last, now) if last else _first(obj, now)


def _count(obj: Object, now: float) -> int:
    series = obj.get("series")
    return int(series.get("count") or 0) + 1 if series else obj.get("count") or 1


def _target(obj: Object, now: float) -> str:
    involved = obj.get("involvedObject") or {}
    kind, name = str(involved.get("kind") or "").lower(), involved.get("name")
    return f"{kind}/{name}" if name else kind


def _source(obj: Object, now: float) -> str:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


EVENTS = Kind(
    plural="events",
    kind="Event",
    short_names=("ev",),
    schema="io.k8s.api.core.v1.Event",
    aliases=(("events.k8s.io", "v1"),),
    validate=_validate,
    fields=_fields,
    columns=(
        Column("Last Seen", _last),
        Column("Type", at("type")),
        Column("Reason", at("reason")),
        Column("Object", _target),
        Column("Subobject", at("involvedObject", "fieldPath"), priority=1),
        Column("Source", _source, priority=1),
        Column("Message", lambda obj, now: str(obj.get("message") or "").strip()),
        Column("First Seen", _first, priority=1),
        Column("Count", _count, type="integer", priority=1),
        Column(NAME.name, NAME.cell, format="name", priority=1, description=NAME.description),
    ),
)
