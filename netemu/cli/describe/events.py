"""The events at the end of a description."""

from __future__ import annotations

from netemu.api.resource import Object
from netemu.cli.api import Api
from netemu.cli.describe.page import NONE, Page, since


def events_of(api: Api, obj: Object, kind: str = "") -> list[Object]:
    """Events about `obj`, oldest first. Nodes' events are in the namespace default."""
    metadata = obj["metadata"]
    space = metadata.get("namespace", "")
    chosen = {
        "involvedObject.name": metadata["name"],
        "involvedObject.namespace": space,
        "involvedObject.kind": kind,
        "involvedObject.uid": metadata.get("uid", ""),
    }
    if not space:
        del chosen["involvedObject.namespace"], chosen["involvedObject.uid"]
    fields = ",".join(f"{name}={value}" for name, value in chosen.items() if value)
    path = f"/api/v1/namespaces/{space}/events" if space else "/api/v1/events"
    items: list[Object] = api.get(path, {"fieldSelector": fields}).get("items") or []
    return sorted(items, key=_last_seen)


def write_events(page: Page, events: list[Object]) -> None:
    if not events:
        page.field("Events", NONE)
        return
    page.flush()
    page.line("Events:")
    page.line("Type\tReason\tAge\tFrom\tMessage", level=1)
    page.line("----\t------\t----\t----\t-------", level=1)
    for event in events:
        page.line("\t".join(_row(event)), level=1)


def _last_seen(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or _first_seen(event))


def _first_seen(event: Object) -> str:
    created = event["metadata"].get("creationTimestamp", "")
    return str(event.get("firstTimestamp") or event.get("eventTime") or created)


def _row(event: Object) -> tuple[str, ...]:
    series = event.get("series") or {}
    count = series.get("count") or event.get("count") or 1
    last = series.get("lastObservedTime") or _last_seen(event)
    age = since(_first_seen(event))
    if count > 1:
        age = f"{since(last)} (x{count} over {age})"
    source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    message = str(event.get("message") or "").strip()
    return str(event.get("type", "")), str(event.get("reason", "")), age, source, message
