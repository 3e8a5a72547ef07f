"""Empty a namespace that is being deleted, then let it go: pods first, then the rest.

Pods go first so that no NetworkPolicy or Secret is missing while one still runs (KEP-5080).
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/#NamespaceStatus
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import is_deleting, key, metadata, name, namespace, timestamp, uid
from netemu.controllers.batch import apply_side_by_side
from netemu.controllers.conditions import with_condition
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.statuswrite import apply_status
from netemu.errors import ApiError

FINALIZER = "kubernetes"
_RETRY = 0.25
_CLEAR = {
    "NamespaceDeletionDiscoveryFailure": (
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": (
        "ContentRemoved",
        "All content successfully removed",
    ),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


def is_terminating(namespace: Object) -> bool:
    return is_deleting(namespace) and FINALIZER in (namespace.get("spec") or {}).get(
        "finalizers", ()
    )


def remaining_messages(left: dict[Resource, list[Object]]) -> dict[str, tuple[str, str]]:
    """Condition -> (reason, message) for what has not gone yet."""
    if not left:
        return {}
    counts = [
        f"{_full(resource)} has {len(objects)} resource instances"
        for resource, objects in left.items()
    ]
    found = {
        "NamespaceContentRemaining": (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(sorted(counts))}",
        )
    }
    held: dict[str, int] = {}
    for objects in left.values():
        for obj in objects:
            for finalizer in metadata(obj).get("finalizers") or ():
                held[finalizer] = held.get(finalizer, 0) + 1
    if held:
        text = ", ".join(f"{named} in {count} resource instances" for named, count in held.items())
        found["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {text}",
        )
    return found


def desired_conditions(
    present: Sequence[Any], found: dict[str, tuple[str, str]], stamp: str
) -> list[Any]:
    conditions = list(present)
    for type_, clear in _CLEAR.items():
        status = "True" if type_ in found else "False"
        reason, message = found.get(type_, clear)
        conditions = with_condition(conditions, type_, status, reason, message, stamp)
    return conditions


def _full(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}"


class NamespaceController(Controller):
    name: ClassVar[str] = "namespace"

    def __init__(
        self, context: ControllerContext, resources: Callable[[], Iterable[Resource]]
    ) -> None:
        """`resources()`: every kind that the server serves now."""
        super().__init__(context)
        self._resources = resources
        self.namespaces = self.watch(kinds.NAMESPACES, _own)
        self.pods = self.watch(kinds.PODS, self._gone_pod)

    def _gone_pod(self, old: Object | None, new: Object | None) -> Iterable[str]:
        if new is not None or old is None:
            return ()
        where = self.namespaces.get(namespace(old))
        return (key(where),) if where is not None and is_terminating(where) else ()

    async def reconcile(self, key: str) -> float | None:
        obj = self.namespaces.get(key)
        if obj is None or not is_terminating(obj):
            return None
        namespaced = [r for r in self._resources() if r.namespaced and r.plural != "events"]
        pods = [r for r in namespaced if r.plural == "pods" and not r.group]
        left, failed = await self._empty(key, pods)
        if not left and not failed:
            left, failed = await self._empty(key, [r for r in namespaced if r not in pods])
        if left or failed:
            await self._tell(obj, remaining_messages(left) | failed)
            return _RETRY
        await self._empty(key, [kinds.EVENTS])
        await self._finalize(obj)
        return None

    async def _empty(
        self, space: str, resources: Sequence[Resource]
    ) -> tuple[dict[Resource, list[Object]], dict[str, tuple[str, str]]]:
        """Delete everything of these kinds; (what is still there, conditions about failures)."""
        left: dict[Resource, list[Object]] = {}
        failures: list[str] = []
        for resource in resources:
            errors = await apply_side_by_side(
                [obj for obj in await self._list(resource, space) if not is_deleting(obj)],
                lambda obj, resource=resource: self._delete(resource, obj),  # type: ignore[misc]
            )
            failures += [str(error) for error in errors]
            if remaining := await self._list(resource, space):
                left[resource] = remaining
        if not failures:
            return left, {}
        text = f"Failed to delete all resource types, {len(failures)} remaining: {failures[0]}"
        return left, {"NamespaceDeletionContentFailure": ("ContentDeletionFailed", text)}

    async def _list(self, resource: Resource, space: str) -> list[Object]:
        return (await self.client.list(resource, space)).items

    async def _delete(self, resource: Resource, obj: Object) -> None:
        try:
            await self.client.delete(
                resource, name(obj), namespace(obj), uid=uid(obj), propagation_policy="Background"
            )
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict", "MethodNotAllowed"):
                raise

    async def _tell(self, obj: Object, found: dict[str, tuple[str, str]]) -> None:
        status = obj.get("status") or {}
        stamp = timestamp(self.clock.now())
        conditions = desired_conditions(status.get("conditions") or (), found, stamp)
        wanted = {**status, "phase": "Terminating", "conditions": conditions}
        written = await apply_status(self.client, kinds.NAMESPACES, obj, wanted)
        if written is not None:
            self.writes.note(key(obj), self.namespaces, written)

    async def _finalize(self, obj: Object) -> None:
        kept = [found for found in obj["spec"]["finalizers"] if found != FINALIZER]
        meta = {"name": name(obj), "uid": uid(obj)}
        wanted = {**obj, "metadata": meta, "spec": {**obj["spec"], "finalizers": kept}}
        try:
            await self.client.update(kinds.NAMESPACES, wanted, subresource="finalize")
        except ApiError as error:
            if error.reason != "NotFound":
                raise


def _own(old: Object | None, new: Object | None) -> Iterable[str]:
    return (key(new),) if new is not None and is_terminating(new) else ()
