"""Namespace."""

from netemu.api.kind import Kind

NAMESPACES = Kind(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
