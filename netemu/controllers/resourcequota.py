"""ResourceQuota: count what there is, so that users see it and the server can refuse more.

https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from netemu.api import kinds, quotarules
from netemu.api.kind import Object, Resource
from netemu.api.meta import is_deleting, key, namespace
from netemu.client.informer import Informer
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.statuswrite import apply_status

_UNCOUNTED = frozenset({"events", "leases", "endpointslices"})
_BATCH = 0.1
_RECOUNT = 300.0


class ResourceQuotaController(Controller):
    name: ClassVar[str] = "resourcequota"

    def __init__(
        self, context: ControllerContext, resources: Callable[[], Iterable[Resource]]
    ) -> None:
        super().__init__(context)
        self.quotas = self.watch(kinds.RESOURCE_QUOTAS, _own_keys)
        self._counted: dict[Resource, Informer] = {}
        for resource in resources():
            if resource.namespaced and resource.plural not in _UNCOUNTED:
                changed = _changes_of(resource)
                self._counted[resource] = self.watch(
                    resource,
                    lambda old, new, changed=changed: self._keys(old, new, changed),  # type: ignore[misc]
                )

    def _keys(
        self,
        old: Object | None,
        new: Object | None,
        changed: Callable[[Object, Object], bool],
    ) -> Iterable[str]:
        obj = new or old
        if obj is None or not self.quotas.objects:
            return ()
        if old is not None and new is not None and not changed(old, new):
            return ()
        return [key(quota) for quota in self.quotas.list(namespace(obj))]

    def pause(self, key: str) -> float:
        return _BATCH

    async def reconcile(self, key: str) -> float | None:
        quota = self.quotas.get(key)
        if quota is None or is_deleting(quota):
            return None
        hard = quota["spec"].get("hard") or {}
        objects = (
            (resource, obj)
            for resource, informer in self._counted.items()
            for obj in informer.list(namespace(quota))
        )
        used = quotarules.total(quota, objects)
        status: dict[str, Any] = {"hard": dict(hard), "used": quotarules.render(used, hard)}
        written = await apply_status(self.client, kinds.RESOURCE_QUOTAS, quota, status)
        if written is not None:
            self.writes.note(key, self.quotas, written)
        return _RECOUNT


def _changes_of(resource: Resource) -> Callable[[Object, Object], bool]:
    """Whether an update of such an object may change what it counts."""
    if resource.group or resource.plural not in ("pods", "services", "persistentvolumeclaims"):
        return lambda old, new: False

    def changed(old: Object, new: Object) -> bool:
        before = (old.get("status") or {}).get("phase")
        after = (new.get("status") or {}).get("phase")
        return before != after or old.get("spec") != new.get("spec")

    return changed


def _own_keys(old: Object | None, new: Object | None) -> Iterable[str]:
    return (key(new),) if new else ()
