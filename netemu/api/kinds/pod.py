"""Pod."""

from netemu.api.kind import Kind

PODS = Kind(group="", version="v1", plural="pods", kind="Pod", namespaced=True)
