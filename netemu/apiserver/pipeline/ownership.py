"""Who owns which field: metadata.managedFields, kept when a request names its manager.

Our own controllers and kubelets write through the same pipeline thousands of times a second and
name none; what they write belongs to nobody, and server-side apply may take it without a conflict.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from netemu.api import managedfields, meta
from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import Options


def track(
    kind: Kind, obj: Object, old: Object | None, options: Options, now: float, subresource: str = ""
) -> None:
    """Book what the manager made of `old` (None on create); without a manager keep the books."""
    if options.applied:
        return  # server-side apply has done it
    if not options.field_manager:
        managedfields.carry(old, obj)
        return
    managedfields.update(
        kind,
        old,
        obj,
        manager=options.field_manager,
        now=meta.timestamp(now),
        subresource=subresource,
        api_version=options.api_version,
    )
