"""Patch: JSON patch, merge patch, strategic merge patch, and server-side apply.

https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
"""

from __future__ import annotations

from typing import Any

from netemu.api import invalid, meta, patch, strategic, versions
from netemu.api.depth import DEEPEST, is_too_deep
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import PLAIN, Context, Options, encode
from netemu.apiserver.pipeline.update import modify
from netemu.client.protocol import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from netemu.errors import ApiError

SUPPORTED = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


async def patch_object(
    ctx: Context,
    kind: Kind,
    namespace: str,
    name: str,
    body: Any,
    content_type: str,
    options: Options = PLAIN,
    *,
    subresource: str = "",
) -> Object:
    """Apply the patch to the newest object, again when somebody else was faster.

    `options.api_version` is the version that the patch speaks.
    """
    group, _, version = (options.api_version or kind.api_version).rpartition("/")
    shown = versions.at(kind, group, version)

    # What a component says of a status: from here on only its metadata is changed in place.
    shares = subresource == "status" and content_type == MERGE_PATCH and options == PLAIN

    def change(old: Object) -> Object:
        view = versions.from_stored(kind, old, group, version)
        made = versions.to_stored(kind, patched(shown, view, body, content_type))
        new = _shared_but_metadata(made) if shares else meta.copy(made)
        return without_revision(new, old)

    def refused(_kind: Kind, new: Object, why: str) -> ApiError:
        """Invalid, and not BadRequest: the patch was understood, what it makes is no object."""
        shown = body if content_type == STRATEGIC_MERGE_PATCH else new
        return invalid.error("", "", "", [invalid.invalid("patch", encode(shown).decode(), why)])

    return await modify(
        ctx, kind, namespace, name, change, options, subresource=subresource, refused=refused
    )


def _shared_but_metadata(obj: Object) -> Object:
    """A copy that costs a tenth: all but `metadata` is shared, and nobody changes that in place."""
    metadata = obj.get("metadata")
    return {**obj, "metadata": {**metadata} if isinstance(metadata, dict) else metadata}


def without_revision(new: Object, old: Object) -> Object:
    """A patch is conditional only when it changes the resourceVersion itself."""
    metadata = new.get("metadata")
    if not isinstance(metadata, dict):
        raise ApiError("BadRequest", "the patch must leave metadata an object")
    if metadata.get("resourceVersion") == old["metadata"]["resourceVersion"]:
        del metadata["resourceVersion"]
    return new


def patched(kind: Kind, old: Object, body: Any, content_type: str) -> Object:
    """`old` with the patch applied; may share with both."""
    if content_type == JSON_PATCH:
        new = patch.apply_json_patch(old, body)
        if is_too_deep(new):  # by putting much below what is there
            raise ApiError("BadRequest", f"the patch nests deeper than {DEEPEST} levels")
        return new
    if content_type == MERGE_PATCH:
        return patch.apply_merge_patch(old, body)
    if content_type == STRATEGIC_MERGE_PATCH:
        return strategic.apply(old, body, kind)
    raise unsupported(content_type)


def unsupported(content_type: str) -> ApiError:
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(SUPPORTED)
    )
    return ApiError("UnsupportedMediaType", message if content_type else f"{message} (none given)")
