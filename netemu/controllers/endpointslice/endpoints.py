"""Keep the old Endpoints object of every Service that has a selector.

Nothing of ours reads it; clients do. A large one is written seldom: a change rewrites all of it.
https://kubernetes.io/docs/concepts/services-networking/service/#endpoints
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import is_deleting, key, name, namespace
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller
from netemu.controllers.endpointslice.members import ServicePods
from netemu.controllers.endpointslice.subsets import desired_endpoints
from netemu.errors import ApiError


class EndpointsController(Controller):
    name: ClassVar[str] = "endpoints"

    def __init__(self, context: ControllerContext, members: ServicePods) -> None:
        super().__init__(context)
        self.members = members
        self.services = self.watch(kinds.SERVICES)
        self.pods = self.watch(kinds.PODS)
        self.endpoints = self.watch(kinds.ENDPOINTS, self._endpoints_keys)
        members.on_change(self.enqueue)

    def _endpoints_keys(self, old: Object | None, new: Object | None) -> Iterable[str]:
        """Endpoints that somebody else changed are put right; those without a Service stay."""
        obj = new or old
        return (key(obj),) if obj and self.services.get(key(obj)) else ()

    def pause(self, key: str) -> float:
        """Longer than that of slices: the object is written whole, and no proxy reads it."""
        size = self.members.count(key)
        return min(size / 500, 1.0) if size > 20 else 0.0

    async def reconcile(self, key: str) -> float | None:
        service, current = self.services.get(key), self.endpoints.get(key)
        if service is None or is_deleting(service):
            if current is not None and service is None:
                await self._delete(key, current)
            return None
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or not spec.get("selector"):
            return None
        wanted = desired_endpoints(service, self.members.of(key), current)
        if current is None:
            self.writes.note(key, self.endpoints, await self.client.create(kinds.ENDPOINTS, wanted))
        elif wanted != current:
            self.writes.note(key, self.endpoints, await self.client.update(kinds.ENDPOINTS, wanted))
        return None

    async def _delete(self, where: str, current: Object) -> None:
        try:
            await self.client.delete(kinds.ENDPOINTS, name(current), namespace(current))
        except ApiError as error:
            if error.reason != "NotFound":
                raise
        else:
            self.writes.deleted(where, self.endpoints, current)
