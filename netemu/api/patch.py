"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386). Neither changes what it is given.

Strategic merge patches need the schema: `api/strategic.py`.
"""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from netemu.api import meta
from netemu.api.kind import Object
from netemu.errors import ApiError

MAX_OPERATIONS = 10_000
"""As the real API server limits them."""


def apply_json_patch(obj: Object, operations: Any) -> Object:
    """`obj` with the operations applied, all or none.

    ApiError BadRequest for a malformed patch; Invalid when it does not fit the object (a missing
    path, a test that fails), as the real server answers.
    """
    if not isinstance(operations, list):
        raise ApiError("BadRequest", "a JSON patch must be an array of operations")
    if len(operations) > MAX_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got "
        raise ApiError("RequestEntityTooLarge", f"{message}{len(operations)}")
    try:
        patched = jsonpatch.JsonPatch(meta.copy_value(operations)).apply(obj)
    except (jsonpatch.JsonPatchConflict, jsonpatch.JsonPatchTestFailed) as problem:
        raise _does_not_fit(problem) from problem
    except jsonpointer.JsonPointerException as problem:
        raise _does_not_fit(problem) from problem
    except (jsonpatch.JsonPatchException, TypeError, KeyError) as problem:
        raise ApiError("BadRequest", f"invalid JSON patch: {problem}") from problem
    if not isinstance(patched, dict):
        raise ApiError("BadRequest", "a JSON patch must leave an object")
    return patched


def _does_not_fit(problem: Exception) -> ApiError:
    message = f"the server rejected our request due to an error in our request: {problem}"
    return ApiError("Invalid", message)


def apply_merge_patch(obj: Object, patch: Any) -> Object:
    """`obj` with the merge patch applied: null removes, objects merge, all else replaces.

    What the patch does not touch is shared with `obj`.
    """
    if not isinstance(patch, dict):
        raise ApiError("BadRequest", "a JSON merge patch must be an object")
    merged: Object = _merge(obj, patch)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
