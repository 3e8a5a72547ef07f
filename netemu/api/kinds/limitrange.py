"""LimitRange."""

from netemu.api.kind import Kind

LIMIT_RANGES = Kind(
    group="", version="v1", plural="limitranges", kind="LimitRange", namespaced=True
)
