"""Who owns which field: metadata.managedFields, kept when a request names its manager.

Our own controllers and kubelets write through the same pipeline thousands of times a second and
name none; what they write belongs to nobody, and server-side apply may take it without a conflict.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from netemu.api.kind import Kind, Object
from netemu.apiserver.pipeline.context import Options


def track_create(kind: Kind, obj: Object, options: Options, now: float) -> None:
    """Record that the manager set everything in `obj`."""


def track_update(
    kind: Kind, obj: Object, old: Object, options: Options, now: float, subresource: str
) -> None:
    """Record that the manager owns what differs between `old` and `obj`."""
