"""DeleteOptions, which clients send in the body or in the query."""

from __future__ import annotations

from typing import Any

from netemu.apiserver.http import body
from netemu.apiserver.http.call import Call
from netemu.apiserver.pipeline.context import DeleteOptions
from netemu.errors import ApiError


async def delete_options(call: Call) -> DeleteOptions:
    """What the body says, else what the query says."""
    data = await call.body()
    given = body.decode_object(data, call.media_type) if data.strip() else {}
    return read_options(call, given)


def read_options(call: Call, given: dict[str, Any]) -> DeleteOptions:
    """From a metav1.DeleteOptions, completed by the query."""
    grace = given.get("gracePeriodSeconds")
    if grace is None:
        grace = call.number("gracePeriodSeconds")
    if grace is not None and not isinstance(grace, int):
        raise ApiError("BadRequest", "gracePeriodSeconds must be a number")
    conditions = _object(given, "preconditions")
    dry_run = given.get("dryRun") or []
    if dry_run not in ([], ["All"]):
        raise ApiError("Invalid", 'dryRun: Unsupported value: supported values: "All"')
    return DeleteOptions(
        dry_run=bool(dry_run) or call.dry_run(),
        grace_period_seconds=grace,
        propagation_policy=str(
            given.get("propagationPolicy") or call.query.get("propagationPolicy", "")
        )
        or _orphan_dependents(call, given),
        uid=str(conditions.get("uid") or ""),
        resource_version=str(conditions.get("resourceVersion") or ""),
    )


def _object(given: dict[str, Any], field: str) -> dict[str, Any]:
    found = given.get(field) or {}
    if not isinstance(found, dict):
        raise ApiError("BadRequest", f"{field} must be an object")
    return found


def _orphan_dependents(call: Call, given: dict[str, Any]) -> str:
    """The field that propagationPolicy replaced."""
    orphan = given.get("orphanDependents", call.query.get("orphanDependents"))
    if orphan in (None, ""):
        return ""
    return "Orphan" if orphan in (True, "true", "1") else "Background"
