"""Who owns whom, by uid. Kept current by events; knows nothing of the API.

https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netemu.api.kind import Object, Resource
from netemu.api.meta import is_deleting, metadata, name, namespace, uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What the collector needs of one object."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    owners: tuple[Mapping[str, Any], ...]
    """Its ownerReferences."""
    deleting: bool
    finalizers: frozenset[str]


def node_of(resource: Resource, obj: Object) -> Node:
    meta = metadata(obj)
    return Node(
        resource=resource,
        namespace=namespace(obj),
        name=name(obj),
        uid=uid(obj),
        owners=tuple(meta.get("ownerReferences") or ()),
        deleting=is_deleting(obj),
        finalizers=frozenset(meta.get("finalizers") or ()),
    )


class Graph:
    """Objects by uid, and the dependents of each owner."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def put(self, node: Node) -> Node | None:
        """File the object; returns what was known of it before."""
        before = self._nodes.get(node.uid)
        if before is None or before.owners != node.owners:
            if before is not None:
                self._unlink(before)
            for owner in node.owners:
                self._dependents.setdefault(owner["uid"], set()).add(node.uid)
        self._nodes[node.uid] = node
        return before

    def remove(self, uid: str) -> None:
        node = self._nodes.pop(uid, None)
        if node is not None:
            self._unlink(node)

    def _unlink(self, node: Node) -> None:
        for owner in node.owners:
            dependents = self._dependents.get(owner["uid"])
            if dependents is not None:
                dependents.discard(node.uid)
                if not dependents:
                    del self._dependents[owner["uid"]]

    def dependents(self, uid: str) -> list[Node]:
        """The objects that name `uid` as an owner."""
        found: Iterable[str] = self._dependents.get(uid, ())
        return [self._nodes[dependent] for dependent in found if dependent in self._nodes]

    def has_dependents(self, uid: str) -> bool:
        return bool(self._dependents.get(uid))
