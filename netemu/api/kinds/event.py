"""Event."""

from netemu.api.kind import Kind

EVENTS = Kind(group="", version="v1", plural="events", kind="Event", namespaced=True)
