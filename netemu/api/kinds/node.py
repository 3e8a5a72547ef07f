"""Node."""

from netemu.api.kind import Kind

NODES = Kind(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
