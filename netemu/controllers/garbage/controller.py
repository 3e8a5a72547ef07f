"""Follow all kinds, and act on objects whose owners have gone or are going.

Before anything is deleted, the server is asked for the owner: a cache that lags must not kill.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from netemu.api.kind import Object, Resource
from netemu.api.meta import is_deleting, metadata, uid
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.garbage.graph import Graph, Node, node_of
from netemu.controllers.garbage.plan import FOREGROUND, ORPHAN, Owner, judge
from netemu.errors import ApiError

_IGNORED = frozenset({"events"})
_GONE = ("NotFound", "Conflict")


class GarbageCollector(Controller):
    """Keys are uids."""

    name: ClassVar[str] = "garbage"
    workers: ClassVar[int] = 32

    def __init__(
        self, context: ControllerContext, resources: Callable[[], Iterable[Resource]]
    ) -> None:
        """`resources()`: every kind that the server serves now."""
        super().__init__(context)
        self.graph = Graph()
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._resources = resources
        self.follow_new_kinds()

    def follow_new_kinds(self) -> None:
        """Follow the kinds that are served now and were not before."""
        for resource in self._resources():
            where = (resource.api_version, resource.kind)
            if where not in self._kinds and resource.plural not in _IGNORED:
                self._kinds[where] = resource
                self.watch(resource, lambda old, new, of=resource: self._changed(of, old, new))  # type: ignore[misc]

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> Iterable[str]:
        """Bring the graph up to date; the uids worth a look."""
        if old is not None and (new is None or uid(old) != uid(new)):
            yield from self._removed(uid(old))
        if new is None:
            return
        if old is not None and uid(old) == uid(new) and _same(old, new):
            return
        node = node_of(resource, new)
        before = self.graph.put(node)
        if node.deleting and node.finalizers & {FOREGROUND, ORPHAN}:
            yield node.uid
            return
        if before is not None and before.owners == node.owners:
            return
        for owner in before.owners if before else ():
            yield from self._foreground(owner)  # it may have waited for this one
        if any(self._in_doubt(owner) for owner in node.owners):
            yield node.uid

    def _in_doubt(self, owner: Owner) -> bool:
        found = self.graph.get(owner["uid"])
        return found is None or (found.deleting and FOREGROUND in found.finalizers)

    def _removed(self, gone: str) -> Iterable[str]:
        node = self.graph.get(gone)
        self.graph.remove(gone)
        yield from (child.uid for child in self.graph.dependents(gone))
        for owner in node.owners if node else ():
            yield from self._foreground(owner)

    def _foreground(self, owner: Owner) -> tuple[str, ...]:
        """The owner's uid, if it is being deleted in the foreground and so waits for others."""
        found = self.graph.get(owner["uid"])
        waiting = found is not None and found.deleting and FOREGROUND in found.finalizers
        return (owner["uid"],) if waiting else ()

    async def reconcile(self, key: str) -> float | None:
        node = self.graph.get(key)
        if node is None:
            return None
        states = {owner["uid"]: await self._state(node, owner) for owner in node.owners}
        verdict = judge(
            node,
            self.graph.dependents(key),
            lambda owner: states[owner["uid"]],
            self.graph.has_dependents(key),
        )
        for dependent in verdict.press:
            self.enqueue(dependent)
        if verdict.delete:
            await self._delete(node, verdict.delete)
        elif verdict.drop_owners:
            await self._drop_owners(node, verdict.drop_owners)
        for dependent in verdict.release:
            child = self.graph.get(dependent)
            if child is not None:
                await self._drop_owners(child, frozenset({node.uid}))
        if verdict.drop_finalizer:
            await self._drop_finalizer(node, verdict.drop_finalizer)
        return None

    async def _state(self, node: Node, owner: Owner) -> str:
        """`solid`, `waiting` or `absent`; the graph may confirm, only the server may deny."""
        known = self.graph.get(owner["uid"])
        if known is not None and known.namespace in ("", node.namespace):
            waiting = known.deleting and FOREGROUND in known.finalizers
            return "waiting" if waiting else "solid"
        resource = self._kinds.get((owner["apiVersion"], owner["kind"]))
        if resource is None:
            return "solid"  # of a kind that nobody knows: leave it alone
        space = node.namespace if resource.namespaced else ""
        try:
            found = await self.client.get(resource, owner["name"], space)
        except ApiError as error:
            if error.reason == "NotFound":
                return "absent"
            raise
        if uid(found) != owner["uid"]:
            return "absent"
        held = metadata(found).get("finalizers") or ()
        return "waiting" if is_deleting(found) and FOREGROUND in held else "solid"

    async def _delete(self, node: Node, policy: str) -> None:
        try:
            await self.client.delete(
                node.resource, node.name, node.namespace, uid=node.uid, propagation_policy=policy
            )
        except ApiError as error:
            if error.reason not in _GONE:
                raise

    async def _drop_owners(self, node: Node, owners: frozenset[str]) -> None:
        def change(meta: dict[str, Any]) -> dict[str, Any]:
            kept = [ref for ref in meta.get("ownerReferences") or () if ref["uid"] not in owners]
            return {"ownerReferences": kept or None}

        await self._patch(node, change)

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        def change(meta: dict[str, Any]) -> dict[str, Any]:
            kept = [found for found in meta.get("finalizers") or () if found != finalizer]
            return {"finalizers": kept or None}

        await self._patch(node, change)

    async def _patch(self, node: Node, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Patch the newest state, guarded by its version: the lists are replaced whole."""
        try:
            found = await self.client.get(node.resource, node.name, node.namespace)
            if uid(found) != node.uid:
                return
            version = metadata(found)["resourceVersion"]
            patch = {"metadata": {"resourceVersion": version, **change(metadata(found))}}
            await self.client.patch(node.resource, node.name, node.namespace, patch)
        except ApiError as error:
            if error.reason != "NotFound":
                raise


def _same(old: Object, new: Object) -> bool:
    """Whether nothing that the collector looks at has changed."""
    before, after = old["metadata"], new["metadata"]
    return all(
        before.get(field) == after.get(field)
        for field in ("ownerReferences", "finalizers", "deletionTimestamp")
    )
