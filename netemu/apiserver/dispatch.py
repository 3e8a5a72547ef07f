"""Which watchers a change concerns, without asking each of them.

A thousand kubelets watch pods by `spec.nodeName`; a pod's change is for one of them. Watchers are
filed by the one field value or the one namespace that they insist on.
"""

from __future__ import annotations

from collections.abc import Iterator

from netemu.api.kind import Kind, Object
from netemu.apiserver.watcher import Change, Watcher, field_values

Slot = tuple[str, str]
_ANY: Slot = ("", "")
_NAMESPACE = "metadata.namespace"


class Dispatch:
    """The watchers of one resource."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._slots: dict[Slot, dict[Watcher, None]] = {}
        self._fields: dict[str, int] = {}  # how many slots each field has

    def become(self, kind: Kind) -> None:
        self._kind = kind

    def add(self, watcher: Watcher) -> None:
        slot = _slot(watcher)
        if slot not in self._slots:
            self._slots[slot] = {}
            if slot[0] not in ("", _NAMESPACE):
                self._fields[slot[0]] = self._fields.get(slot[0], 0) + 1
        self._slots[slot][watcher] = None

    def remove(self, watcher: Watcher) -> None:
        slot = _slot(watcher)
        watchers = self._slots.get(slot, {})
        watchers.pop(watcher, None)
        if not watchers and self._slots.pop(slot, None) is not None and slot[0] in self._fields:
            self._fields[slot[0]] -= 1
            if not self._fields[slot[0]]:
                del self._fields[slot[0]]

    def __iter__(self) -> Iterator[Watcher]:
        for watchers in self._slots.values():
            yield from watchers

    def offer(self, change: Change) -> None:
        slots = [_ANY, (_NAMESPACE, change.entry.object["metadata"].get("namespace", ""))]
        if self._fields:
            slots += self._field_slots(change.entry.object)
            if change.before is not None:
                slots += self._field_slots(change.before.object)
        for slot in dict.fromkeys(slots):
            for watcher in self._slots.get(slot, ()):
                watcher.offer(change)

    def _field_slots(self, obj: Object) -> list[Slot]:
        values = field_values(self._kind, obj)
        return [(field, values.get(field, "")) for field in self._fields]


def _slot(watcher: Watcher) -> Slot:
    for field, equal, value in watcher.selection.fields.conditions:
        if equal:
            return field, value
    if watcher.selection.namespace:
        return _NAMESPACE, watcher.selection.namespace
    return _ANY
