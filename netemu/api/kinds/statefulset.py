"""StatefulSet."""

from netemu.api.kind import Kind

STATEFUL_SETS = Kind(
    group="apps", version="v1", plural="statefulsets", kind="StatefulSet", namespaced=True
)
