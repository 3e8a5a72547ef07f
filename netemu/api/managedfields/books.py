"""The entries of metadata.managedFields: reading, changing and writing them.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from netemu.api.kind import Kind, Object
from netemu.api.managedfields.compare import compare
from netemu.api.managedfields.sets import FieldSet, difference, intersection, union
from netemu.api.schema import of_kind

MAX_UPDATERS = 10
"""More Update entries than this are folded into one, the oldest first."""
ANCIENT = "ancient-changes"
_SERVERS_OWN = ("apiVersion", "kind")
_SERVERS_OWN_METADATA = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
)
UNOWNED: FieldSet = {
    **{f"f:{name}": {} for name in _SERVERS_OWN},
    "f:metadata": {f"f:{name}": {} for name in _SERVERS_OWN_METADATA},
}
"""What nobody owns, because the server sets it."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry: a manager, how it wrote, and what it owns."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """An applier is the same one in every version; an updater is not."""
        version = "" if self.operation == "Apply" else self.api_version
        return self.manager, self.operation, version, self.subresource

    def to_entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
        }
        if self.time:
            entry["time"] = self.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": self.fields}
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def read(entries: Iterable[Mapping[str, Any]]) -> list[Owner]:
    return [
        Owner(
            manager=entry.get("manager") or "",
            operation=entry.get("operation") or "Update",
            api_version=entry.get("apiVersion") or "",
            subresource=entry.get("subresource") or "",
            time=entry.get("time") or "",
            fields=entry.get("fieldsV1") or {},
        )
        for entry in entries
    ]


def write(owners: Iterable[Owner]) -> list[dict[str, Any]]:
    """The entries, in Kubernetes' order: appliers first, then by time."""
    ordered = sorted(owners, key=lambda owner: (owner.operation, owner.time, owner.manager))
    return [owner.to_entry() for owner in ordered]


def of_object(obj: Object) -> list[Any]:
    found: list[Any] = (obj.get("metadata") or {}).get("managedFields") or []
    return found


def carry(live: Object | None, new: Object) -> None:
    """Leave the books as they are: `new`, which the caller owns, gets those of `live`."""
    entries = of_object(live) if live is not None else []
    metadata = new.setdefault("metadata", {})
    if entries:
        metadata["managedFields"] = entries
    else:
        metadata.pop("managedFields", None)


def update(
    kind: Kind,
    live: Object | None,
    new: Object,
    *,
    manager: str,
    now: str,
    subresource: str = "",
    api_version: str = "",
) -> None:
    """Book what `manager` changed by making `live` (None on create) into `new`, in place.

    `new` has its defaults and its final content; `now` is a metav1.Time. What is equal before and
    after stays with whom it was.
    """
    given = of_object(new)
    metadata = new.setdefault("metadata", {})
    if given == [{}]:  # the documented way to clear the books
        metadata.pop("managedFields", None)
        return
    entries = given or (of_object(live) if live is not None else [])
    version = api_version or kind.api_version
    changed, removed = compare(_bare(live) if live else {}, _bare(new), of_kind(kind))
    identity = (manager, "Update", version, subresource)
    owners = take_away(read(entries), identity, changed, removed)
    mine = next((owner for owner in owners if owner.identity == identity), None)
    fields = union(difference(mine.fields, removed) if mine else {}, changed)
    others = [owner for owner in owners if owner.identity != identity]
    if fields:
        if mine is None:
            mine = Owner(manager, "Update", version, subresource, now, fields)
        elif fields != mine.fields:
            mine = replace(mine, fields=fields, time=now)
        others.append(mine)
    metadata["managedFields"] = write(_capped(others, version))
    if not metadata["managedFields"]:
        del metadata["managedFields"]


def _bare(obj: Object) -> Object:
    """The object without what nobody owns."""
    bare = {key: value for key, value in obj.items() if key not in _SERVERS_OWN}
    metadata = obj.get("metadata")
    if metadata:
        bare["metadata"] = {k: v for k, v in metadata.items() if k not in _SERVERS_OWN_METADATA}
    return bare


def take_away(
    owners: Iterable[Owner],
    identity: tuple[str, str, str, str],
    changed: FieldSet,
    removed: FieldSet,
) -> list[Owner]:
    """What is left to the others after `identity` changed and removed fields."""
    kept = []
    for owner in owners:
        if owner.identity != identity:
            fields = difference(owner.fields, intersection(owner.fields, changed))
            fields = difference(fields, removed)
            if not fields:
                continue
            if fields is not owner.fields and fields != owner.fields:
                owner = replace(owner, fields=fields)
        kept.append(owner)
    return kept


def _capped(owners: list[Owner], version: str) -> list[Owner]:
    """At most MAX_UPDATERS updaters: the oldest of the others become one."""
    updaters = [owner for owner in owners if owner.operation == "Update"]
    excess = len(updaters) - MAX_UPDATERS
    if excess <= 0:
        return owners
    oldest = sorted(updaters, key=lambda owner: owner.time)[: excess + 1]
    fields: FieldSet = {}
    for owner in oldest:
        fields = union(fields, owner.fields)
    time = max(owner.time for owner in oldest)
    folded = Owner(ANCIENT, "Update", version, "", time, copy.deepcopy(fields))
    return [owner for owner in owners if owner not in oldest] + [folded]
