"""The API client protocol: one shape, in process and over HTTP.

Two implementations pass the same contract tests: `apiserver.local.LocalClient` (in process, no
bytes copied) and `client.http.HttpClient`. Objects that come out are shared and never changed in
place.

Every failure is an `errors.ApiError`; 410 has the reason `Expired`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

from netemu.api.kind import Object, Resource

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; an ERROR is raised as ApiError instead."""

    type: str
    object: Object
    revision: int


class ObjectList(NamedTuple):
    """What a list returned, and the store revision that it shows."""

    items: list[Object]
    revision: int


class ApiClient(Protocol):
    """What components may ask of the API. Cluster-wide resources have the namespace ""."""

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """One object; ApiError `NotFound` when there is none."""

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList: ...

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """All changes after `revision`, in order, with BOOKMARKs that move the revision on.

        A bookmark of revision R says: every change up to R that this watch selects was delivered.
        """

    async def create(self, resource: Resource, obj: Object) -> Object: ...

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace. With metadata.resourceVersion set, a lost race is an ApiError `Conflict`."""

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Any,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Object: ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object: ...

    async def report_progress(self, component: str, revision: int) -> None:
        """Say that `component` (`node-1/proxy`, `dns/coredns-x`) has programmed `revision`."""

    async def barrier(self, revision: int = 0, *, timeout: float = 30.0) -> Object:
        """Wait until every component has programmed `revision` (0: the newest).

        Returns `{"revision": N, "components": {NAME: REVISION, …}}`; on a timeout raises ApiError
        `Timeout`, whose message names the components that lag.
        """
