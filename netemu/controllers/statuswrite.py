"""Write a status only when it says something new."""

from __future__ import annotations

from typing import Any

from netemu.api.kind import Object, Resource
from netemu.client.protocol import ApiClient
from netemu.errors import ApiError


async def apply_status(
    client: ApiClient, resource: Resource, obj: Object, status: dict[str, Any]
) -> Object | None:
    """Put `status` on `obj`; None when it stands there already or the object is gone.

    The write carries the version that was read, so an outdated view is a Conflict, and the key is
    looked at again.
    """
    if (obj.get("status") or {}) == status:
        return None
    try:
        return await client.update(resource, {**obj, "status": status}, subresource="status")
    except ApiError as error:
        if error.reason == "NotFound":
            return None
        raise
